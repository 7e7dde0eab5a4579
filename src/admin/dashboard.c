/* GET /: a page that shows /stats, for a browser. */
#include "admin/admin_internal.h"

static const char page[] =
    "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>warp</title>"
    "<meta name=\"viewport\" content=\"width=device-width\"><style>body{font:15px/1.6 system-ui,sans-serif;max-width:52em;"
    "margin:3em auto;padding:0 1em;color:#1d2733}dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(9em,1fr));"
    "gap:1em}dt{color:#667}dd{margin:0;font-size:1.5em}pre{background:#f4f6f8;padding:1em;overflow:auto}</style></head>"
    "<body><h1>warp</h1><dl id=\"top\"></dl><p><a href=\"cache\">what is stored</a> &middot; <a href=\"metrics\">metrics</a></p>"
    "<pre id=\"all\">...</pre><script>async function show(){const r=await fetch('stats');const s=await r.json();"
    "const t=document.getElementById('top');t.textContent='';const add=(k,v)=>{const a=document.createElement('dt'),"
    "b=document.createElement('dd'),c=document.createElement('div');a.textContent=k;b.textContent=v;c.append(a,b);t.append(c)};"
    "add('requests',s.requests.all);add('hit ratio',(100*s.requests.hit_ratio).toFixed(1)+' %');add('collapsed',s.collapsed);"
    "for(const k in s.tiers){add(k+' objects',s.tiers[k].objects);add(k+' MiB',(s.tiers[k].size_bytes/1048576).toFixed(1))}"
    "document.getElementById('all').textContent=JSON.stringify(s,null,1)}show();setInterval(show,2000)</script></body></html>\n";

void admin_dashboard(struct admin_request *request)
{
    admin_answer(request, 200, SLICE("text/html; charset=utf-8"), slice_of(page, sizeof(page) - 1));
}

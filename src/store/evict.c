#include "store/evict.h"
#include <stdlib.h>
struct evict { int x; };
err evict_new(const struct evict_config *c, struct evict **r){(void)c;*r=calloc(1,sizeof(struct evict));return ERR_OK;}
struct evict *evict_free(struct evict *e){free(e);return NULL;}
void evict_turn(struct evict *e, uint64_t n, uint64_t f){(void)e;(void)n;(void)f;}
bool evict_is_open(const struct evict *e){(void)e;return true;}
enum evict_admission evict_admit(struct evict *e, uint64_t h, uint64_t b, bool u){(void)e;(void)h;(void)b;(void)u;return EVICT_ADMIT_SMALL;}
void evict_wrote(struct evict *e, uint64_t b){(void)e;(void)b;}
enum evict_log evict_victim_log(struct evict *e, const uint64_t s[EVICT_LOGS]){(void)e;return s[EVICT_SMALL]*2>s[EVICT_MAIN]?EVICT_SMALL:EVICT_MAIN;}
enum evict_fate evict_fate(struct evict *e, enum evict_log l, uint64_t h, uint64_t b, uint8_t hits, bool fv, bool forced){(void)e;(void)l;(void)h;(void)b;(void)fv;return hits>0&&!forced?EVICT_TO_MAIN:EVICT_GONE;}

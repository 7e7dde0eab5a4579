"""The servers that are compared. Each is a function: it writes its configuration into place.folder and returns how to
start it. To add one: write the function, put @server above it; docs/benchmarks.md says what is fair."""
import dataclasses
import os
import pathlib
import resource
import shutil
import subprocess
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
WARP = os.path.abspath(os.environ.get("WARP_BIN", ROOT / "build/release/warp"))
# The build that WARP is of has the programs of the benchmark.
TOOLS = pathlib.Path(os.path.realpath(WARP)).parents[2] / "tests/bench"
TOKEN = "bench"  # of WARP's admin listener
SERVERS = {}


class Cannot(Exception):
    """This server, as it is installed, has no way to do this workload: why."""


@dataclasses.dataclass
class Wire:
    """What clients speak in a workload."""
    tls: bool
    spoken: str  # h1 or h2: over TLS both are offered by the server, the client asks for this one
    store: str = "ram"  # where what is stored lies: ram; disk: on a device, what fits in RAM too; device: on a device alone


PLAIN, TLS, H2_TLS, H2_PLAIN = Wire(False, "h1"), Wire(True, "h1"), Wire(True, "h2"), Wire(False, "h2")
ON_DISK, ON_DEVICE = Wire(False, "h1", "disk"), Wire(False, "h1", "device")


@dataclasses.dataclass
class Certificate:
    certificate: pathlib.Path
    key: pathlib.Path
    both: pathlib.Path


@dataclasses.dataclass
class Place:
    """Where a server runs: given to its function."""
    folder: pathlib.Path
    port: int
    spare_ports: list
    origin_port: int
    wire: Wire
    certificate: Certificate

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path


@dataclasses.dataclass
class Start:
    argv: list
    env: dict = dataclasses.field(default_factory=dict)
    admin_port: int = 0  # of WARP
    behind: list = dataclasses.field(default_factory=list)  # (argv, port) of what else belongs to it, started before


def program_path(program):
    """Where it is installed, or None."""
    if "/" in str(program):
        return program if os.access(program, os.X_OK) else None
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


@dataclasses.dataclass
class Server:
    name: str
    program: str
    start: object
    version: list
    cannot: dict
    is_floor: bool
    by_default: bool

    def path(self):
        return program_path(self.program)

    def version_text(self):
        if not self.version:
            return ""
        done = subprocess.run([self.path(), *self.version], capture_output=True, text=True)
        return (done.stdout + done.stderr).strip().splitlines()[0]


def server(name, program, version=(), cannot=None, is_floor=False, by_default=True):
    def add(function):
        alone = {} if name == "warp-epoll" else cannot_all(None, IN_WARP_ALONE)
        SERVERS[name] = Server(name, program, function, list(version), {**alone, **(cannot or {})}, is_floor, by_default)
        return function
    return add


# Workloads by what is spoken: what a server has no way to do is said per workload; where None is said, it is not shown.
IN_PLAIN = ("hit-1k", "hit-1k-zipf", "hit-64k", "hit-1m", "hit-10m", "hit-304", "miss", "revalidate", "drip", "memory-idle", "memory-object")
IN_H1_TLS = ("hit-1k-tls", "hit-64k-tls", "handshake", "handshake-resumed", "memory-idle-tls")
IN_TLS = (*IN_H1_TLS, "hit-1k-h2")
IN_H2_PLAIN = ("hit-1k-h2c",)
IN_WARP_ALONE = ("memory-disk-index", "purges")  # a part of WARP measured without a server, its own API: one row
IN_DISK = ("hit-1k-device", "hit-64k-device", "miss-disk")


def cannot_all(why, names):
    return {name: why for name in names}


# ---- the floors: what any server pays, each for what it speaks. They answer everything from memory and keep nothing.

FLOOR_CANNOT = {"drip": "answers from memory", "memory-object": "keeps nothing", "memory-idle": "has a plain buffer for each",
                "memory-idle-tls": "has a plain buffer for each"}
PLAIN_FLOOR_CANNOT = {**FLOOR_CANNOT, **cannot_all(None, IN_TLS + IN_H2_PLAIN + IN_DISK)}
NGHTTP2_FLOOR_CANNOT = {**FLOOR_CANNOT, **cannot_all(None, IN_PLAIN + IN_DISK)}


@server("floor-epoll", str(TOOLS / "floor_epoll"), is_floor=True, cannot=PLAIN_FLOOR_CANNOT)
def floor_epoll(place):
    return Start([TOOLS / "floor_epoll", str(place.port)])


@server("floor-uring", str(TOOLS / "floor_uring"), is_floor=True, cannot=PLAIN_FLOOR_CANNOT)
def floor_uring(place):
    return Start([TOOLS / "floor_uring", str(place.port)])


@server("floor-nghttp2", str(TOOLS / "floor_nghttp2"), is_floor=True, cannot=NGHTTP2_FLOOR_CANNOT)
def floor_nghttp2(place):
    with_tls = [place.certificate.certificate, place.certificate.key] if place.wire.tls else []
    return Start([TOOLS / "floor_nghttp2", str(place.port), *with_tls])


# ---- WARP

def warp(place, io):
    listen = ["--listen", f"127.0.0.1:{place.port}"]
    if place.wire.tls:
        listen = ["--listen", f"127.0.0.1:{place.spare_ports[1]}", "--listen-tls", f"127.0.0.1:{place.port}",
                  "--cert", place.certificate.certificate, "--key", place.certificate.key]
    store = {"ram": ["--cache-dir", "none", "--memory", "1g"],
             "disk": ["--cache-dir", place.folder / "cache", "--cache-size", "4g", "--memory", "1g"],
             "device": ["--cache-dir", place.folder / "cache", "--cache-size", "4g", "--memory", "0"]}[place.wire.store]
    return Start([WARP, "run", *listen, "--admin", f"127.0.0.1:{place.spare_ports[0]}",
                  "--origin", f"http://127.0.0.1:{place.origin_port}", *store,
                  "--workers", "1", "--io", io, "--max-connections-per-ip", "0"],
                 env={"XDG_RUNTIME_DIR": str(place.folder), "WARP_TOKEN": TOKEN}, admin_port=place.spare_ports[0])


@server("warp-uring", WARP, version=["version"])
def warp_uring(place):
    return warp(place, "uring")


@server("warp-epoll", WARP, version=["version"])
def warp_epoll(place):
    return warp(place, "epoll")


# ---- nginx: the cache is files, so its folder is on a real file system

def nginx_conf(place, sendfile):
    folder = place.folder
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    kept_open = max(1000, min(100_000, files - 7_000))  # the others are for connections
    listen = f"127.0.0.1:{place.port} backlog=4096"
    if place.wire.tls:
        listen += f""" ssl http2;
        ssl_certificate {place.certificate.certificate};
        ssl_certificate_key {place.certificate.key};
        ssl_protocols TLSv1.3;
        ssl_session_tickets on"""
    elif place.wire.spoken == "h2":
        listen += " http2"
    place.write("nginx.conf", f"""
daemon off;
user root;
worker_processes 1;
worker_rlimit_nofile {files};
pid {folder}/nginx.pid;
error_log /dev/null;
events {{ worker_connections 16384; use epoll; multi_accept on; }}
http {{
    access_log off;
    sendfile {sendfile};
    tcp_nopush off;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    open_file_cache max={kept_open} inactive=1h;
    open_file_cache_valid 1h;
    client_body_temp_path {folder}/t1;
    fastcgi_temp_path {folder}/t2;
    uwsgi_temp_path {folder}/t3;
    scgi_temp_path {folder}/t4;
    proxy_temp_path {folder}/t5;
    proxy_cache_path {folder}/cache levels=1:2 keys_zone=z:64m max_size=4g inactive=1d use_temp_path=off;
    upstream origin {{ server 127.0.0.1:{place.origin_port}; keepalive 256; keepalive_requests 1000000000; }}
    server {{
        listen {listen};
        location / {{
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_cache z;
            proxy_cache_lock on;
            proxy_cache_revalidate on;
        }}
    }}
}}
""")
    return Start(["nginx", "-c", str(folder / "nginx.conf"), "-p", str(folder)])


@server("nginx", "nginx", version=["-v"])
def nginx(place):
    return nginx_conf(place, "on")


@server("nginx-nosf", "nginx", version=["-v"], cannot=cannot_all(None, IN_TLS + IN_DISK))
def nginx_nosf(place):
    return nginx_conf(place, "off")


# ---- HAProxy

@server("haproxy", "haproxy", version=["-v"], cannot={
    "revalidate": "does not revalidate what it stored", "memory-object": "takes all its memory at its start",
    **cannot_all("has no disk", IN_DISK)})
def haproxy(place):
    bind = f"127.0.0.1:{place.port} backlog 4096"
    if place.wire.tls:
        bind += f" ssl crt {place.certificate.both} ssl-min-ver TLSv1.3 alpn h2,http/1.1"
    elif place.wire.spoken == "h2":
        bind += " proto h2"
    conf = place.write("haproxy.cfg", f"""
global
    nbthread 1
    maxconn 8000
    log /dev/null local0 emerg
defaults
    mode http
    timeout connect 10s
    timeout client 1h
    timeout server 1h
    timeout http-keep-alive 1h
    option http-ignore-probes
cache c
    total-max-size 1024
    max-object-size 20000000
    max-age 86400
    process-vary off
frontend f
    bind {bind}
    http-request cache-use c
    http-response cache-store c
    default_backend b
backend b
    http-reuse always
    server o 127.0.0.1:{place.origin_port} pool-max-conn -1
""")
    return Start(["haproxy", "-db", "-q", "-f", str(conf)])


# ---- Varnish: how long what expired is kept has to be said (with ttl 0 it would not be), every tag of its log masked

def varnish_tags(path):
    """All tags of its log, from its own manual: a title is the line above one of dashes."""
    text = subprocess.run([path, "-x", "vsl"], capture_output=True, text=True).stdout.splitlines()
    names = []
    for title, line in zip(text, text[1:]):
        if line and set(line) == {"-"} and title and "\t" not in title:
            names += [name.split(" ")[0] for name in title.split(", ")]
    return [name for name in names if name.replace("_", "").isalnum()]


@server("varnish", "varnishd", version=["-V"], cannot=cannot_all("what it has on disk is gone with a restart", IN_DISK))
def varnish(place):
    path = SERVERS["varnish"].path()
    vcl = place.write("bench.vcl", f"""
vcl 4.1;
backend origin {{ .host = "127.0.0.1"; .port = "{place.origin_port}"; }}
sub vcl_backend_response {{
    if (bereq.url ~ "^/reval/") {{
        set beresp.ttl = 1ms;
        set beresp.grace = 0s;
        set beresp.keep = 1h;
        return (deliver);
    }}
}}
""")
    mask = ",".join(f"-{name}" for name in varnish_tags(path))
    listen = f"127.0.0.1:{place.spare_ports[0]},PROXY" if place.wire.tls else f"127.0.0.1:{place.port}"
    argv = ["varnishd", "-F", "-j", "none", "-n", str(place.folder / "n"), "-a", listen, "-T", "none",
            "-f", str(vcl), "-s", "malloc,1g", "-p", "thread_pools=1", "-p", "thread_pool_min=1000",
            "-p", "thread_pool_max=5000" if not place.wire.tls else "thread_pool_max=6000",
            "-p", "timeout_idle=3600", "-p", "feature=+http2", "-p", f"vsl_mask={mask}"]
    if not place.wire.tls:
        return Start(argv)
    if program_path("hitch") is None:
        raise Cannot("hitch is not installed: Varnish has no TLS of its own")
    conf = place.write("hitch.conf", f"""
frontend = "[127.0.0.1]:{place.port}"
backend = "[127.0.0.1]:{place.spare_ports[0]}"
pem-file = "{place.certificate.both}"
tls-protos = TLSv1.3
alpn-protos = "h2,http/1.1"
write-proxy-v2 = on
workers = 1
backlog = 4096
keepalive = 3600
daemon = off
quiet = on
syslog = off
user = "root"
""")
    return Start(["hitch", f"--config={conf}"], behind=[(argv, place.spare_ports[0])])


# ---- Apache Traffic Server, as a root of its own

@server("ats", "traffic_server", version=["-V"], cannot=cannot_all("speaks HTTP/2 over TLS only", IN_H2_PLAIN))
def ats(place):
    folder = place.folder
    ssl = ":ssl" if place.wire.tls else ""
    for name in ("etc", "run", "log", "cache"):
        (folder / name).mkdir()
    place.write("runroot.yaml", f"""prefix: {folder}
exec_prefix: /usr
bindir: /usr/bin
sbindir: /usr/bin
sysconfdir: {folder}/etc
datadir: {folder}/cache
includedir: /usr/include
libdir: /usr/lib/trafficserver
libexecdir: /usr/lib/trafficserver/modules
localstatedir: {folder}/run
runtimedir: {folder}/run
logdir: {folder}/log
mandir: /usr/share/man
infodir: /usr/share/info
cachedir: {folder}/cache
""")
    settings = {
        "admin.user_id": "STRING #-1",
        "exec_thread.autoconfig": "INT 0",
        "exec_thread.limit": "INT 1",
        "exec_thread.affinity": "INT 0",
        "accept_threads": "INT 0",
        "task_threads": "INT 1",
        "cache.threads_per_disk": "INT 4",
        "http.server_ports": f"STRING {place.port}:ip-in=127.0.0.1{ssl}",
        "http.wait_for_cache": "INT 1",
        "http.cache.required_headers": "INT 0",
        "http.keep_alive_no_activity_timeout_in": "INT 3600",
        "http.keep_alive_no_activity_timeout_out": "INT 3600",
        "http.cache.open_write_fail_action": "INT 5",  # wait for the one who fetches
        "http.cache.max_open_read_retries": "INT 100",
        "http.cache.open_read_retry_time": "INT 20",
        "cache.enable_read_while_writer": "INT 1",
        "http.background_fill_active_timeout": "INT 0",
        "http.background_fill_completed_threshold": "FLOAT 0.0",
        "net.listen_backlog": "INT 4096",
        "net.connections_throttle": "INT 18000",
        "net.max_connections_in": "INT 18000",
        "cache.ram_cache.size": "INT 0" if place.wire.store == "device" else "INT 1073741824",
        "cache.ram_cache.use_seen_filter": "INT 0",
        "cache.ram_cache_cutoff": "INT 20971520",
        "cache.min_average_object_size": "INT 4000",
        "log.logging_enabled": "INT 0",
        "diags.debug.enabled": "INT 0",
        "url_remap.pristine_host_hdr": "INT 1",
        "url_remap.remap_required": "INT 1",
        "dns.resolv_conf": "STRING NULL",
        "http.insert_response_via_str": "INT 0",
        "ssl.TLSv1_2": "INT 0",
        "ssl.TLSv1_3": "INT 1",
        "ssl.server.cert.path": f"STRING {folder}/etc",
        "ssl.server.private_key.path": f"STRING {folder}/etc",
        "http2.no_activity_timeout_in": "INT 3600",
    }
    place.write("etc/records.config", "".join(f"CONFIG proxy.config.{k} {v}\n" for k, v in settings.items()))
    place.write("etc/remap.config", f"map / http://127.0.0.1:{place.origin_port}/\n")
    place.write("etc/storage.config", f"{folder}/cache {'1G' if place.wire.store == 'ram' else '4G'}\n")
    place.write("etc/ip_allow.yaml", "ip_allow:\n  - apply: in\n    ip_addrs: 127.0.0.1\n    action: allow\n    methods: ALL\n")
    for name in ("plugin.config", "hosting.config", "volume.config", "cache.config", "parent.config"):
        place.write(f"etc/{name}", "")
    place.write("etc/ssl_multicert.config",
                f"dest_ip=* ssl_cert_name={place.certificate.certificate} ssl_key_name={place.certificate.key}\n" if ssl else "")
    return Start(["traffic_server", f"--run-root={folder}/runroot.yaml"])


# ---- H2O: its proxy has no cache, so it serves the same bodies from files, which it keeps open

@server("h2o", "h2o", version=["--version"], cannot=cannot_all(None, IN_PLAIN + IN_DISK))
def h2o(place):
    for size in (1024, 65536):
        with urllib.request.urlopen(f"http://127.0.0.1:{place.origin_port}/size/{size}/0000000000") as answer:
            body = answer.read()
        path = place.write(f"files/size/{size}/0000000000", "")
        path.write_bytes(body)
    with_tls = f"""
  ssl:
    certificate-file: {place.certificate.certificate}
    key-file: {place.certificate.key}
    minimum-version: TLSv1.2
    ocsp-update-interval: 0""" if place.wire.tls else ""
    conf = place.write("h2o.conf", f"""
user: root
num-threads: 1
max-connections: 16384
pid-file: {place.folder}/h2o.pid
error-log: /dev/null
listen:
  host: 127.0.0.1
  port: {place.port}{with_tls}
ssl-session-resumption:
  mode: ticket
  ticket-store: internal
http1-request-timeout: 3600
http2-idle-timeout: 3600
hosts:
  default:
    paths:
      /:
        file.dir: {place.folder}/files
        file.mime.setdefaulttype: application/octet-stream
        header.add: "Cache-Control: max-age=3600"
""")
    return Start(["h2o", "-c", str(conf)])


# ---- Squid, when it is asked for: it is far from the others

@server("squid", "squid", version=["-v"], by_default=False, cannot=cannot_all("measured in the clear only", IN_TLS + IN_H2_PLAIN + IN_DISK))
def squid(place):
    folder = place.folder
    conf = place.write("squid.conf", f"""
http_port 127.0.0.1:{place.port} accel defaultsite=bench.test
cache_peer 127.0.0.1 parent {place.origin_port} 0 no-query originserver
never_direct allow all
http_access allow all
access_log none
cache_log /dev/null
cache_store_log none
pid_filename {folder}/squid.pid
coredump_dir {folder}
cache_mem 1 GB
maximum_object_size 20 MB
maximum_object_size_in_memory 20 MB
workers 1
collapsed_forwarding on
client_idle_pconn_timeout 1 hour
shutdown_lifetime 1 second
cache_effective_user root
pinger_enable off
""")
    return Start(["squid", "-N", "-f", str(conf)])

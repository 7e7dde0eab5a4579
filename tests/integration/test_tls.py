"""TLS to clients: certificates by name, sessions, reload, the admin listener."""
import os
import pathlib
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest

from client import Client
from pki import DAY, HOUR, Authority
from test_fill import pattern
from wait import TIMEOUT, until
from warp import BINARY, Warp

FRESH = {"Cache-Control": "max-age=3600"}


@pytest.fixture(scope="module")
def authority():
    return Authority()


@pytest.fixture
def certs(tmp_path):
    """A directory for --cert-dir."""
    path = tmp_path / "certs"
    path.mkdir()
    return path


@pytest.fixture
def start_tls(start_warp, origin, authority, tmp_path):
    """start_tls() has one certificate for a.test; start_tls("--cert-dir", ...) what is named."""
    def start(*args, workers=1, **more):
        if not args:
            path = authority.issue("a.test", "127.0.0.1").write(tmp_path / "one.crt")
            args = ("--cert", str(path), "--key", str(path.with_suffix(".key")))
        return start_warp(origin, tls=True, args=args, workers=workers, **more)

    return start


def put(warp, origin, target, body=b"x", **more):
    with warp.client() as client:
        client.request(target, **more)
        origin.expect(target).answer(200, FRESH, body)
        assert client.read_response().body == body


def shown(warp, context, name):
    """The certificate that a client which asks for that name is shown, in DER form."""
    with warp.tls_client(context, name) as client:
        return client.sock.getpeercert(binary_form=True)


def unverified(**options):
    context = Authority("nobody's").context(**options)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def refused(warp, context, name="a.test"):
    """The handshake fails; returns what the client makes of it."""
    with pytest.raises((ssl.SSLError, ConnectionError)) as problem:
        with warp.tls_client(context, name) as client:
            client.request("/")  # TLS 1.3: the alert comes behind what the client takes for the end of the handshake
            client.sock.setblocking(True)
            client.sock.recv(1)
    return str(problem.value)


def failures(warp, reason):
    return warp.metric("warp_tls_handshake_failures_total", reason=reason)


def reload(warp, result="success"):
    """SIGHUP, and waits until it is done; every worker takes what it was handed before its next handshake."""
    before = warp.metric("warp_reloads_total", result=result)
    warp.signal(signal.SIGHUP)
    until(lambda: warp.metric("warp_reloads_total", result=result) == before + 1, f"reload: {warp.stderr()}")


# ---- requests -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_curl(start_tls, origin, authority, tmp_path, version):
    warp = start_tls()
    origin.serve(lambda seen: seen.answer(200, FRESH, b"hello " + seen.headers["X-Forwarded-Proto"].encode()))
    ca = authority.write(tmp_path / "ca.pem")
    url = f"https://a.test:{warp.tls_port}/"
    done = subprocess.run(["curl", "-sS", f"--http{version}", "--cacert", str(ca), "--resolve", f"a.test:{warp.tls_port}:127.0.0.1", "-w", " %{http_version}",
                           url, url], capture_output=True, text=True, timeout=TIMEOUT)
    assert (done.stdout, done.stderr, done.returncode) == (f"hello https {version}" * 2, "", 0)
    assert warp.metric("warp_tls_handshakes_total", version="TLSv1.3", resumed="no") == 1


def test_https_and_http_are_two_keys(start_tls, origin, authority):
    warp = start_tls()
    put(warp, origin, "/x", b"plain")
    with warp.tls_client(authority.context()) as client:
        client.request("/x")
        seen = origin.expect("/x")
        assert seen.headers["X-Forwarded-Proto"] == "https"
        seen.answer(200, FRESH, b"secret")
        assert client.read_response().body == b"secret"
        assert client.get("/x").is_hit and warp.get("/x").body == b"plain"


@pytest.mark.parametrize("size", [0, 1, 1000, 16383, 16384, 16385, 65536, 65537, 300000, 5 << 20])
def test_bodies_of_all_sizes(start_tls, origin, authority, size):
    warp = start_tls()
    body = pattern(size)
    with warp.tls_client(authority.context()) as client:
        client.request("/x")
        origin.expect("/x").answer(200, FRESH, body)
        assert client.read_response().body == body
        assert client.get("/x").body == body


def test_uploads(start_tls, origin, authority):
    warp = start_tls()
    body = pattern(3 << 20)
    origin.serve(lambda seen: seen.answer(200, {}, seen.body[-1000:] + b"%d" % len(seen.body)))
    with warp.tls_client(authority.context()) as client:
        response = client.get("/up", method="POST", body=body)
        assert response.body == body[-1000:] + b"%d" % len(body)


def test_a_slow_reader_holds_up_nobody(start_tls, origin, authority):
    warp = start_tls()
    body = pattern(8 << 20)
    put(warp, origin, "/big", body)
    with warp.tls_client(authority.context(), receive_buffer=4096) as slow, warp.tls_client(authority.context()) as quick:
        for client in (slow, quick):
            client.request("/big")
        origin.expect("/big").answer(200, FRESH, body)  # https is another key
        assert quick.read_response().body == body
        assert slow.read_response().body == body


def test_the_access_log_tells_tls(start_tls, origin, authority, tmp_path):
    log = tmp_path / "access"
    path = authority.issue("a.test").write(tmp_path / "one.crt")
    warp = start_tls("--cert", str(path), "--key", str(path.with_suffix(".key")), "--access-log", str(log))
    origin.serve(lambda seen: seen.answer(200, FRESH, b"x"))
    with warp.tls_client(authority.context()) as client:
        client.get("/x")
    until(lambda: log.exists() and b'"scheme":"https"' in log.read_bytes().replace(b" ", b""), "a record")


# ---- versions, ciphers, protocols -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("version,name", [(ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")])
def test_versions(start_tls, authority, version, name):
    warp = start_tls()
    with warp.tls_client(authority.context(version=version)) as client:
        assert client.sock.version() == name
        assert "GCM" in client.sock.cipher()[0]
    warp.wait_metric(1, "warp_tls_handshakes_total", version=name)


def test_old_versions_and_ciphers_are_refused(start_tls):
    warp = start_tls()
    for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        context = unverified(ciphers="ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
        refused(warp, context)
    warp.wait_metric(2, "warp_tls_handshake_failures_total", reason="version")
    for ciphers in ("AES128-SHA", "ECDHE-ECDSA-AES128-SHA", "AES128-GCM-SHA256"):
        refused(warp, unverified(ciphers=ciphers, version=ssl.TLSVersion.TLSv1_2))
    warp.wait_metric(3, "warp_tls_handshake_failures_total", reason="cipher")


def s_client(warp, *args):
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{warp.tls_port}", *args], stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=TIMEOUT)
    return (done.stdout + done.stderr).decode("latin-1")


def test_chacha_for_those_that_prefer_it(start_tls):
    warp = start_tls()
    chacha, aes = "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256"
    assert f"Ciphersuite: {chacha}" in s_client(warp, "-brief", "-ciphersuites", f"{chacha}:{aes}")
    assert f"Ciphersuite: {aes}" in s_client(warp, "-brief", "-ciphersuites", f"TLS_AES_256_GCM_SHA384:{aes}:{chacha}")


@pytest.mark.parametrize("group", ["X25519", "P-256"])
def test_groups(start_tls, group):
    warp = start_tls()
    assert "Protocol version: TLSv1.3" in s_client(warp, "-brief", "-groups", group)


def test_alpn(start_tls, authority):
    warp = start_tls()
    for offer, chosen in [(("http/1.1",), "http/1.1"), (("http/1.1", "h2"), "h2"), (("x", "http/1.1"), "http/1.1"), ((), None)]:
        with warp.tls_client(authority.context(alpn=offer)) as client:
            assert client.sock.selected_alpn_protocol() == chosen
    assert "no application protocol" in refused(warp, authority.context(alpn=("x", "y")))
    warp.wait_metric(1, "warp_tls_handshake_failures_total", reason="alpn")


def test_no_renegotiation_and_no_early_data(start_tls, tmp_path):
    warp = start_tls()
    text = s_client(warp, "-tls1_3", "-sess_out", str(tmp_path / "session"))
    assert "Max Early Data: 0" in text or "Max Early Data" not in text
    assert "Compression: NONE" in s_client(warp, "-tls1_2")


# ---- what is not a handshake ----------------------------------------------------------------------------------------------


def test_plain_http_on_the_tls_listener(start_tls):
    warp = start_tls()
    with Client(warp.tls_port) as client:
        client.request("/")
        client.ended()
    warp.wait_metric(1, "warp_tls_handshake_failures_total", reason="not-tls")


def test_a_client_that_leaves_in_the_middle(start_tls):
    warp = start_tls()
    Client(warp.tls_port).close()
    with Client(warp.tls_port) as client:
        client.send(b"\x16\x03\x01")
        client.half_close()
        client.ended()
    warp.wait_metric(2, "warp_tls_handshake_failures_total", reason="closed")
    warp.wait_metric(0, "warp_connections", state="idle")


def test_a_client_that_trusts_nobody(start_tls):
    warp = start_tls()
    assert "CERTIFICATE_VERIFY_FAILED" in refused(warp, Authority("another").context())
    warp.wait_metric(1, "warp_tls_handshake_failures_total", reason="alert")


def test_a_handshake_without_end(start_tls):
    """Records of a ClientHello that never is complete: not more than a handshake needs is taken."""
    warp = start_tls()
    with Client(warp.tls_port) as client:
        client.send(b"\x16\x03\x01\x40\x00\x01\x01\xff\xf0" + bytes(0x4000 - 4))
        try:
            for _ in range(100):
                client.send(b"\x16\x03\x01\x40\x00" + bytes(0x4000))
        except OSError:
            pass
        client.ended()
    until(lambda: failures(warp, "too-long") + failures(warp, "other") == 1, "refused")


def test_an_end_without_close_notify_is_not_an_end(start_tls, origin, authority):
    """A request whose length only the end of the connection could tell does not exist; an upload that is cut is an error."""
    warp = start_tls()
    client = warp.tls_client(authority.context())
    client.request("/up", "POST", headers={"Content-Length": "100"}, body=b"half")
    raw = socket.socket(fileno=os.dup(client.sock.fileno()))
    raw.shutdown(socket.SHUT_WR)
    client.ended()
    raw.close()
    warp.wait_metric(0, "warp_connections", state="active")


# ---- certificates by name ---------------------------------------------------------------------------------------------------


def test_names(start_tls, authority, certs, tmp_path):
    others = authority.issue("fallback.test")
    exact, wild, many = authority.issue("www.a.test"), authority.issue("*.a.test"), authority.issue("b.test", "*.b.test", "c.test")
    path = others.write(tmp_path / "others.crt")
    for name, issued in [("exact.crt", exact), ("wild.pem", wild), ("many.crt", many)]:
        issued.write(certs / name)
    warp = start_tls("--cert", str(path), "--key", str(path.with_suffix(".key")), "--cert-dir", str(certs))
    for name, issued in [("www.a.test", exact), ("WWW.A.TEST", exact), ("x.a.test", wild), ("xWw.a.test", wild), ("b.test", many),
                         ("deep.b.test", many), ("c.test", many), ("fallback.test", others)]:
        assert shown(warp, authority.context(), name) == issued.der, name
    # The star stands for one label; who asks for nothing, or for nobody's name, gets --cert.
    for name in ("a.test", "y.x.a.test", "x.c.test", "unknown.test", None):
        assert shown(warp, unverified(), name) == others.der, name


def test_without_a_certificate_for_all(start_tls, authority, certs):
    authority.issue("a.test").write(certs / "a.crt")
    warp = start_tls("--cert-dir", str(certs))
    shown(warp, authority.context(), "a.test")
    assert "UNRECOGNIZED_NAME" in refused(warp, unverified(), "b.test")
    refused(warp, unverified(), None)
    warp.wait_metric(2, "warp_tls_handshake_failures_total", reason="server-name")


def test_ecdsa_and_rsa_side_by_side(start_tls, authority, certs):
    ecdsa, rsa = authority.issue("a.test"), authority.issue("a.test", kind="rsa")
    ecdsa.write(certs / "a.ecdsa.crt")
    rsa.write(certs / "a.rsa.crt")
    warp = start_tls("--cert-dir", str(certs))
    v12 = {"version": ssl.TLSVersion.TLSv1_2}
    assert shown(warp, authority.context(**v12, ciphers="ECDHE-RSA-AES128-GCM-SHA256"), "a.test") == rsa.der
    assert shown(warp, authority.context(**v12, ciphers="ECDHE-ECDSA-AES128-GCM-SHA256"), "a.test") == ecdsa.der
    assert shown(warp, authority.context(), "a.test") == ecdsa.der
    for sigalgs, issued in [("rsa_pss_rsae_sha256", rsa), ("ecdsa_secp256r1_sha256", ecdsa)]:
        text = s_client(warp, "-servername", "a.test", "-sigalgs", sigalgs, "-tls1_3")
        assert ssl.DER_cert_to_PEM_cert(issued.der).strip() in text, text


def test_layouts(start_tls, authority, certs, tmp_path):
    """certbot's directories with links, a key in the certificate's file, lego's issuer beside; other files are nobody's."""
    archive = tmp_path / "archive"
    archive.mkdir()
    live, combined, lego = authority.issue("live.test"), authority.issue("combined.test"), authority.issue("lego.test")
    (certs / "live.test").mkdir()
    live.write(archive / "fullchain1.pem", archive / "privkey1.pem")
    for name in ("fullchain", "privkey"):
        (certs / "live.test" / f"{name}.pem").symlink_to(archive / f"{name}1.pem")
    combined_path = certs / "combined.pem"
    combined_path.touch(mode=0o600)
    combined_path.write_bytes(combined.pem + combined.key_pem)
    lego.write(certs / "lego.test.crt")
    authority.write(certs / "lego.test.issuer.crt")
    (certs / "README").write_text("certbot's")
    (certs / "other").mkdir()
    (certs / ".hidden.crt").write_text("nothing")
    warp = start_tls("--cert-dir", str(certs))
    for issued, name in [(live, "live.test"), (combined, "combined.test"), (lego, "lego.test")]:
        assert shown(warp, authority.context(), name) == issued.der
    assert " warn  " not in warp.stderr()


def test_the_one_that_is_good_for_longer(start_tls, authority, certs):
    old, new = authority.issue("a.test", lifetime=20 * DAY), authority.issue("a.test", lifetime=29 * DAY)
    old.write(certs / "z.crt")
    new.write(certs / "b.crt")
    warp = start_tls("--cert-dir", str(certs))
    assert shown(warp, authority.context(), "a.test") == new.der


def test_misdirected_requests(start_tls, origin, authority, certs):
    origin.serve(lambda seen: seen.answer(200, {}, b"x"))
    authority.issue("a.test", "*.a.test", "127.0.0.1").write(certs / "a.crt")
    authority.issue("b.test").write(certs / "b.crt")
    warp = start_tls("--cert-dir", str(certs))
    context = authority.context()
    for host, status in [("a.test", 200), ("A.test:8443", 200), ("x.a.test", 200), ("127.0.0.1", 200), ("b.test", 421), ("y.x.a.test", 421),
                         ("a.test.", 200)]:
        with warp.tls_client(context, "a.test") as client:
            assert client.get("/x", host=host).status == status, host
    assert warp.get("/x", host="b.test").status == 200
    for host, status in [("x.a.test", "200"), ("b.test", "421")]:
        done = subprocess.run(["curl", "-sk", "--http2", "--resolve", f"a.test:{warp.tls_port}:127.0.0.1", "-H", f"Host: {host}", "-o", "/dev/null",
                               "-w", "%{http_code} %{http_version}", f"https://a.test:{warp.tls_port}/x"], capture_output=True, text=True,
                              timeout=TIMEOUT)
        assert done.stdout == f"{status} 2", (host, done)
    with warp.tls_client(context, "b.test") as client:
        assert client.get("/x", host="b.test").status == 200


def test_one_certificate_for_all_is_not_compared(start_tls, origin, authority):
    origin.serve(lambda seen: seen.answer(200, {}, b"x"))
    warp = start_tls()
    with warp.tls_client(authority.context()) as client:
        assert client.get("/x", host="anything.test").status == 200


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_thousand_certificates(start_warp, origin, authority, certs, capsys):
    for i in range(1000):
        authority.issue(f"n{i}.test", f"*.n{i}.test").write(certs / f"n{i}.crt")
    begun = time.monotonic()
    warp = start_warp(origin, tls=True, args=("--cert-dir", str(certs)))
    with capsys.disabled():
        print(f"\nnumbers: 1,000 certificates, each with its key: served after {time.monotonic() - begun:.2f} s, "
              f"{cpu_seconds(warp.process.pid):.2f} s of CPU before the worker began")
    for i in (0, 500, 999):
        assert shown(warp, authority.context(), f"x.n{i}.test")
    samples = [name for name in warp.metrics() if name.startswith("warp_certificate_expiry_timestamp_seconds{")]
    assert len(samples) == 1000


# ---- sessions -----------------------------------------------------------------------------------------------------------------


def session_of(warp, context, name="a.test", session=None):
    """A connection with a request (TLS 1.3 brings its ticket behind the handshake); (was resumed, session)."""
    with warp.tls_client(context, name, session=session) as client:
        client.get("/x")
        return client.sock.session_reused, client.sock.session


@pytest.mark.threads
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_are_resumed_by_every_thread(start_tls, origin, authority, version):
    origin.serve(lambda seen: seen.answer(200, FRESH, b"x"))
    warp = start_tls(workers=4)
    context = authority.context(version=version)
    _, session = session_of(warp, context)
    for _ in range(40):
        resumed, session = session_of(warp, context, session=session)
        assert resumed
    assert warp.metric("warp_tls_handshakes_total", resumed="yes") == 40


@pytest.mark.threads
def test_sessions_are_resumed_after_a_reload(start_tls, origin, authority, certs):
    origin.serve(lambda seen: seen.answer(200, FRESH, b"x"))
    authority.issue("a.test").write(certs / "a.crt")
    warp = start_tls("--cert-dir", str(certs), workers=2)
    context = authority.context()
    _, session = session_of(warp, context)
    authority.issue("a.test").write(certs / "a.crt")
    reload(warp)
    for _ in range(8):
        resumed, session = session_of(warp, context, session=session)
        assert resumed


def test_a_session_of_one_name_is_not_another_s(start_tls, origin, authority, certs):
    origin.serve(lambda seen: seen.answer(200, FRESH, b"x"))
    for name in ("a.test", "b.test"):
        authority.issue(name).write(certs / f"{name}.crt")
    warp = start_tls("--cert-dir", str(certs))
    context = authority.context()
    _, session = session_of(warp, context, "a.test")
    with warp.tls_client(context, "b.test", session=session) as client:
        assert not client.sock.session_reused
        assert client.sock.getpeercert()["subjectAltName"] == (("DNS", "b.test"),)


# ---- OCSP -----------------------------------------------------------------------------------------------------------------------


def stapled(warp, name):
    text = s_client(warp, "-servername", name, "-status")
    assert "OCSP response" in text, text
    return "OCSP Response Status: successful" in text


def test_ocsp_answers_are_stapled(start_tls, authority, certs):
    good, other, none = authority.issue("good.test"), authority.issue("other.test"), authority.issue("none.test")
    late, broken = authority.issue("late.test"), authority.issue("broken.test")
    for name, issued in [("good", good), ("other", other), ("none", none), ("late", late), ("broken", broken)]:
        issued.write(certs / f"{name}.crt")
    (certs / "good.ocsp").write_bytes(authority.ocsp(good))
    (certs / "other.crt.ocsp").write_bytes(authority.ocsp(good))
    (certs / "late.ocsp").write_bytes(authority.ocsp(late, lifetime=-HOUR))
    (certs / "broken.ocsp").write_bytes(b"not DER")
    warp = start_tls("--cert-dir", str(certs))
    assert stapled(warp, "good.test")
    for name, why in [("other", "is about another certificate"), ("late", "nextUpdate has passed"), ("broken", "is no OCSP answer"), ("none", "")]:
        assert not stapled(warp, f"{name}.test")
        assert why in warp.stderr() and (why == "" or f"/{name}." in warp.stderr())
    (certs / "none.ocsp").write_bytes(authority.ocsp(none))
    (certs / "good.ocsp").unlink()
    reload(warp)
    assert stapled(warp, "none.test") and not stapled(warp, "good.test")


# ---- reload ---------------------------------------------------------------------------------------------------------------------


def test_reload(start_tls, authority, tmp_path, origin):
    origin.serve(lambda seen: seen.answer(200, FRESH, b"x"))
    path = tmp_path / "one.crt"
    first, second = authority.issue("a.test"), authority.issue("a.test", lifetime=10 * DAY)
    first.write(path)
    warp = start_tls("--cert", str(path), "--key", str(path.with_suffix(".key")))
    label = {"name": str(path)}
    assert warp.metric("warp_certificate_expiry_timestamp_seconds", **label) == first.expires
    with warp.tls_client(authority.context()) as old:
        second.write(path)
        assert shown(warp, authority.context(), "a.test") == first.der
        reload(warp)
        assert shown(warp, authority.context(), "a.test") == second.der
        assert old.get("/x").status == 200
    assert warp.metric("warp_certificate_expiry_timestamp_seconds", **label) == second.expires


def test_a_reload_that_fails_changes_nothing(start_tls, authority, tmp_path, certs):
    path = authority.issue("fallback.test").write(tmp_path / "one.crt")
    good = authority.issue("a.test")
    good.write(certs / "a.crt")
    warp = start_tls("--cert", str(path), "--key", str(path.with_suffix(".key")), "--cert-dir", str(certs))
    (certs / "b.crt").write_text("broken")
    reload(warp, "failure")
    assert "reload, by SIGHUP: refused; everything stays as it was" in warp.stderr()
    assert f"{certs}/b.crt: no certificate in it" in warp.stderr()
    assert shown(warp, authority.context(), "a.test") == good.der
    assert warp.metric("warp_reloads_total", result="success") == 0


@pytest.mark.threads
def test_a_hundred_reloads_under_load(start_tls, origin, authority, certs):
    """Kept connections and new ones, full handshakes and resumed ones: nobody sees a failure."""
    origin.serve(lambda seen: seen.answer(200, FRESH, b"x"))
    authority.issue("a.test", lifetime=19 * DAY).write(certs / "a.crt")
    warp = start_tls("--cert-dir", str(certs), workers=2)
    over, problems, counts = threading.Event(), [], []

    def load(keep):
        context, session, count = authority.context(), None, 0
        try:
            while not over.is_set():
                with warp.tls_client(context, session=session) as client:
                    for _ in range(20 if keep else 1):
                        response = client.get("/x")
                        assert response.status == 200 and response.body == b"x"
                        count += 1
                    session = client.sock.session if count % 2 else None
        except Exception as problem:  # noqa: BLE001
            problems.append(problem)
        counts.append(count)

    threads = [threading.Thread(target=load, args=(i % 2 == 0,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for i in range(100):
        if i % 10 == 0:
            authority.issue("a.test", lifetime=20 * DAY + i * HOUR).write(certs / f"a{i}.crt")  # the longest is used
        reload(warp)
    over.set()
    for thread in threads:
        thread.join()
    assert problems == []
    assert all(counts), counts
    assert warp.metric("warp_reloads_total", result="failure") == 0


def test_a_new_worker_process_reads_the_files_again(start_tls, authority, tmp_path):
    path = tmp_path / "one.crt"
    authority.issue("a.test").write(path)
    warp = start_tls("--cert", str(path), "--key", str(path.with_suffix(".key")))
    warp.may_lose_workers = True
    second = authority.issue("a.test")
    second.write(path)
    old = warp.worker_pid()
    os.kill(old, signal.SIGKILL)
    until(lambda: old not in warp.children() and len(warp.children()) == 1, "another worker process")
    until(warp._is_up, "healthy again")
    assert shown(warp, authority.context(), "a.test") == second.der


# ---- what is wrong is said -------------------------------------------------------------------------------------------------------


def ends_with(tmp_path, *args):
    """A start that is refused, and what it says."""
    argv = [BINARY, "run", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--cache-dir", "none", *map(str, args)]
    env = {**{k: v for k, v in os.environ.items() if not k.startswith("WARP_")}, "XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run(argv, capture_output=True, text=True, env=env, timeout=TIMEOUT)
    assert done.returncode == 2, done
    return done.stderr


def test_settings_that_do_not_fit(tmp_path):
    tls = ("--listen-tls", "127.0.0.1:0")
    for args, words in [
            (tls, "--listen-tls: needs a certificate"),
            ((*tls, "--cert", "x"), "--cert: needs --key"),
            ((*tls, "--key", "x"), "--key: needs --cert"),
            (("--cert", "x", "--key", "x"), "is for --listen-tls"),
            (("--cert-dir", "x"), "is for --listen-tls"),
            (("--admin-cert", "x"), "--admin-cert: needs --admin-key"),
            (("--admin-key", "x"), "--admin-key: needs --admin-cert"),
            (("--admin-client-ca", "x"), "--admin-client-ca: needs TLS"),
            ((*tls, "--cert", "/nowhere/a", "--key", "/nowhere/b"), "/nowhere/a: cannot be read: is not there"),
            ((*tls, "--cert-dir", "/nowhere"), "/nowhere: the directory of certificates cannot be read")]:
        assert words in ends_with(tmp_path, *args), args


def test_files_that_do_not_fit(tmp_path, authority, certs):
    good = authority.issue("a.test")
    cases = {
        "no certificate in it": lambda p: (p.with_suffix(".key").write_bytes(good.key_pem), p.write_bytes(good.key_pem)),
        "no private key that can be read": lambda p: (p.write_bytes(good.pem), p.with_suffix(".key").write_text("nothing")),
        "does not belong to the certificate": lambda p: (p.write_bytes(good.pem), p.with_suffix(".key").write_bytes(authority.issue("a.test").key_pem)),
        "has a pass phrase": lambda p: (p.write_bytes(good.pem), p.with_suffix(".key").write_bytes(encrypted(good.key))),
        "is damaged": lambda p: (p.write_bytes(good.pem + b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
                                 p.with_suffix(".key").write_bytes(good.key_pem)),
        "no server name in it": lambda p: authority.issue("127.0.0.1").write(p),
        "is not a plain file": lambda p: p.mkdir(),
    }
    for words, make in cases.items():
        path = certs / "a.crt"
        make(path)
        said = ends_with(tmp_path, "--listen-tls", "127.0.0.1:0", "--cert-dir", certs)
        assert words in said and f"{certs}/a." in said, said
        for entry in certs.iterdir():
            entry.rmdir() if entry.is_dir() else entry.unlink()


def encrypted(key):
    from cryptography.hazmat.primitives import serialization
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret"))


def test_warnings(start_tls, authority, certs):
    authority.issue("soon.test", lifetime=48 * HOUR - HOUR / 2).write(certs / "soon.crt")
    authority.issue("gone.test", lifetime=-HOUR).write(certs / "gone.crt")
    authority.issue("open.test").write(certs / "open.crt")
    os.chmod(certs / "open.key", 0o644)
    warp = start_tls("--cert-dir", str(certs))
    text = warp.stderr()
    assert f"{certs}/soon.crt: this certificate expires in 47 hours" in text
    assert f"{certs}/gone.crt: this certificate has expired" in text
    assert f"{certs}/open.key: others than the owner may read this private key (mode 644)" in text
    assert text.count(" warn  ") == 3


def test_the_start_says_where(start_warp, origin, authority, tmp_path):
    path = authority.issue("a.test").write(tmp_path / "one.crt")
    warp = Warp(tmp_path, (origin,), tls=True, args=("--cert", str(path), "--key", str(path.with_suffix(".key"))))
    with open(tmp_path / "stdout", "wb") as stdout:
        warp.start(stdout)
    warp.stop()
    text = (tmp_path / "stdout").read_text()
    assert f"https://127.0.0.1:{warp.tls_port}" in text and f"http://127.0.0.1:{warp.port}" in text
    assert len(text.splitlines()) <= 12


# ---- the admin listener ------------------------------------------------------------------------------------------------------------


def warp_command(*args, **env):
    keep = {k: v for k, v in os.environ.items() if not k.startswith("WARP_")}
    return subprocess.run([BINARY, *args], capture_output=True, text=True, timeout=TIMEOUT, env={**keep, **env})


def test_admin_over_tls(start_warp, origin, authority, tmp_path):
    path = authority.issue("127.0.0.1", "localhost").write(tmp_path / "admin.crt")
    warp = start_warp(origin, args=("--admin-cert", str(path), "--admin-key", str(path.with_suffix(".key"))), admin_tls=authority.context())
    ca = authority.write(tmp_path / "ca.pem")
    assert warp.admin("GET", "/healthz").status == 200
    assert warp.metric("warp_certificate_expiry_timestamp_seconds", name=str(path)) > 0
    token = {"WARP_TOKEN": warp.token}
    for host in ("127.0.0.1", "localhost"):
        where = f"https://{host}:{warp.admin_port}"
        done = warp_command("stats", "--admin", where, "--admin-ca", str(ca), **token)
        assert done.returncode == 0, done
        done = warp_command("purge", "--everything", WARP_ADMIN=where, WARP_ADMIN_CA=str(ca), **token)
        assert done.returncode == 0, done
    done = warp_command("stats", "--admin", where, **token)
    assert done.returncode == 1 and "certificate" in done.stderr, done
    done = warp_command("stats", "--admin", f"127.0.0.1:{warp.admin_port}", **token)
    assert done.returncode == 1 and "https://" in done.stderr, done
    new = authority.issue("127.0.0.1")
    new.write(path)
    reload(warp)
    assert warp.metric("warp_certificate_expiry_timestamp_seconds", name=str(path)) == new.expires


def test_admin_wants_client_certificates(start_warp, origin, authority, tmp_path):
    path = authority.issue("127.0.0.1").write(tmp_path / "admin.crt")
    clients, strangers = Authority("of clients"), Authority("of strangers")
    ca, client_ca = authority.write(tmp_path / "ca.pem"), clients.write(tmp_path / "clients.pem")
    ours, theirs = clients.issue(client=True), strangers.issue(client=True)
    context = authority.context()
    own = ours.write(tmp_path / "own.crt")
    other = theirs.write(tmp_path / "other.crt")
    context.load_cert_chain(own, own.with_suffix(".key"))
    warp = start_warp(origin, args=("--admin-cert", str(path), "--admin-key", str(path.with_suffix(".key")), "--admin-client-ca",
                                    str(client_ca)), admin_tls=context)
    assert warp.admin("GET", "/healthz").status == 200
    where = ("--admin", f"https://127.0.0.1:{warp.admin_port}", "--admin-ca", str(ca))
    token = {"WARP_TOKEN": warp.token}
    shown_own = ("--admin-client-cert", str(own), "--admin-client-key", str(own.with_suffix(".key")))
    shown_other = ("--admin-client-cert", str(other), "--admin-client-key", str(other.with_suffix(".key")))
    assert warp_command("stats", *where, *shown_own, **token).returncode == 0
    for wrong in ((), shown_other):
        done = warp_command("stats", *where, *wrong, **token)
        assert done.returncode == 1 and done.stderr, done
    done = warp_command("stats", *where, "--admin-client-cert", str(own), **token)
    assert done.returncode == 2 and "belong together" in done.stderr


# ---- ACME challenges ----------------------------------------------------------------------------------------------------------------


ACME = "/.well-known/acme-challenge/"


def test_challenges(start_tls, origin, authority, tmp_path):
    origin.serve(lambda seen: seen.answer(200, FRESH, b"from the origin"))
    directory = tmp_path / "acme"
    (directory / ".well-known" / "acme-challenge").mkdir(parents=True)
    (directory / "tok-EN_1").write_bytes(b"answer 1")
    (directory / ".well-known" / "acme-challenge" / "tok2").write_bytes(b"answer 2")
    (directory / "long").write_bytes(b"x" * 2000)
    (directory / "folder").mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    (directory / "link").symlink_to(tmp_path / "secret")
    path = authority.issue("a.test").write(tmp_path / "one.crt")
    warp = start_tls("--cert", str(path), "--key", str(path.with_suffix(".key")), "--acme-dir", str(directory))
    with warp.client() as plain, warp.tls_client(authority.context()) as tls:
        for client in (plain, tls):
            for host in ("a.test", "any.test"):
                response = client.get(ACME + "tok-EN_1", host=host)
                assert (response.status, response.body) == (200, b"answer 1")
                assert response.headers["Content-Type"] == "text/plain" and response.headers["Cache-Control"] == "no-store"
            assert client.get(ACME + "tok2").body == b"answer 2"
            response = client.get(ACME + "tok2", method="HEAD")
            assert response.status == 200 and response.headers["Content-Length"] == "8"
            for token in ("nothing", "long", "folder", "link", "", "../secret", "%2e%2e", "tok2?x", "tok2/", "a" * 129):
                assert client.get(ACME + token).body == b"from the origin", token
            assert client.get(ACME + "tok2", method="POST", body=b"").body == b"from the origin"
    (directory / "tok-EN_1").write_bytes(b"answer 3")
    assert warp.get(ACME + "tok-EN_1").body == b"answer 3"  # never stored
    assert warp.metric("warp_requests_total", outcome="synthetic") >= 8


def test_a_directory_of_challenges_that_comes_later(start_warp, origin, tmp_path):
    origin.serve(lambda seen: seen.answer(200, {}, b"from the origin"))
    directory = tmp_path / "later"
    warp = start_warp(origin, args=("--acme-dir", str(directory)))
    assert f"--acme-dir: {directory}: is not there; until it is there challenges are passed to the origin" in warp.stderr()
    assert warp.get(ACME + "tok").body == b"from the origin"
    directory.mkdir()
    (directory / "tok").write_bytes(b"answer")
    assert warp.get(ACME + "tok").body == b"answer"

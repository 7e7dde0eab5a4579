#!/usr/bin/python3
"""Purges URLs of one WARP over its API, so many a second, from several connections: a generator of its own, so that what it
takes is not taken for the server's.

    purger.py PORT TOKEN PER_SECOND COUNT FIRST      prints "ready", waits for a line, purges, prints figures"""
import json
import selectors
import socket
import sys
import time

CONNECTIONS = 32
HEAD = "POST /api/v1/purge HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n{body}"


class Connection:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.seen = b""

    def ask(self, token, url):
        self.asked = time.monotonic()
        body = json.dumps({"url": url})
        self.seen = b""
        self.socket.sendall(HEAD.format(token=token, length=len(body), body=body).encode())

    def answer(self):
        """None while it is not complete."""
        got = self.socket.recv(65536)
        if not got:
            raise SystemExit("purger: the connection was closed")
        self.seen += got
        head, end, body = self.seen.partition(b"\r\n\r\n")
        if not end:
            return None
        length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        if len(body) < length:
            return None
        if b" 200 " not in head.split(b"\r\n")[0] + b" ":
            raise SystemExit(f"purger: {self.seen!r}")
        return json.loads(body)


def run(port, token, per_second, count, first):
    selector = selectors.DefaultSelector()
    free = [Connection(port) for _ in range(CONNECTIONS)]
    for connection in free:
        selector.register(connection.socket, selectors.EVENT_READ, connection)
    print("ready", flush=True)
    sys.stdin.readline()
    began, asked, matched, durable, took = time.monotonic(), 0, 0, 0, []
    while len(took) < count:
        due = count if per_second == 0 else min(count, int((time.monotonic() - began) * per_second) + 1)
        while free and asked < due:
            free.pop().ask(token, f"http://bench.test/size/1024/{first + asked:010d}")
            asked += 1
        for key, _ in selector.select(0.001):
            answer = key.data.answer()
            if answer is None:
                continue
            took.append(time.monotonic() - key.data.asked)
            matched += answer["matched"]
            durable += answer["durable"]
            free.append(key.data)
    seconds = time.monotonic() - began
    took.sort()
    print(json.dumps({"purges": count, "seconds": seconds, "per_second": count / seconds, "matched": matched, "durable": durable,
                      "p50_ms": 1000 * took[len(took) // 2], "p99_ms": 1000 * took[len(took) * 99 // 100]}), flush=True)


if __name__ == "__main__":
    run(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))

#!/usr/bin/env python3
"""Holds N idle keep-alive connections while a command runs, then asks on each again: none may be lost.

usage: idle.py PORT N COMMAND ...
"""
import resource, socket, subprocess, sys

port, count, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
REQUEST = b"GET /files/hello.txt HTTP/1.1\r\nHost: localhost\r\n\r\n"


def ask(connection):
    connection.sendall(REQUEST)
    answer = b""
    while b"\r\n\r\n" not in answer:
        more = connection.recv(65536)
        if not more:
            return False
        answer += more
    head, body = answer.split(b"\r\n\r\n", 1)
    fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
    while len(body) < int(fields[b"Content-Length"]):
        more = connection.recv(65536)
        if not more:
            return False
        body += more
    return head.startswith(b"HTTP/1.1 200 ")


connections = []
for _ in range(count):
    connection = socket.create_connection(("127.0.0.1", port), 10)
    if not ask(connection):
        sys.exit("a connection was not answered when it was new")
    connections.append(connection)
beside = subprocess.run(command, capture_output=True, text=True)
if beside.returncode or "Socket errors" in beside.stdout or "Non-2xx" in beside.stdout:
    sys.exit(f"beside {count} idle: {beside.stdout}{beside.stderr}")
lost = 0
for connection in connections:
    try:
        lost += not ask(connection)
    except OSError:
        lost += 1
if lost:
    sys.exit(f"{lost} of {count} idle connections were lost")
print(f"{count} idle beside it and none lost")

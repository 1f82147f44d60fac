"""A table of raw requests: what passes, what is refused, and what passes unless
a server is strict. An application that answers with method, path and body
tells what it got, as written beside each.
"""
__all__ = ["BAD", "GOOD", "KEPT", "LENIENT", "TAIL", "to"]

#: A request to follow each, and what is told of it
TAIL = b"GET /tail HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
KEPT = "GET /tail "


def request(*lines, body=b""):
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def to(path, *headers, body=b"", method="POST"):
    return request(f"{method} {path} HTTP/1.1", "Host: h", *headers, body=body)


CHUNKS = b"3\r\nabc\r\n0\r\n\r\n"

#: Requests that pass, whatever the server; what is told of each
GOOD = [
    (to("/", method="GET"), "GET / "),
    (to("/", method="get"), "get / "),
    (to("/", method="M-SEARCH"), "M-SEARCH / "),
    (to("/*", method="OPTIONS"), "OPTIONS /* "),
    (to("/\xe9", method="GET"), "GET /\xe9 "),
    (to("/", "Content-Length: 3", body=b"abc"), "POST / abc"),
    (to("/", "Content-Length:3", body=b"abc"), "POST / abc"),
    (to("/", "content-length:   3  ", body=b"abc"), "POST / abc"),
    (to("/", "Content-Length: 003", body=b"abc"), "POST / abc"),
    (to("/", "Content-Length: 0"), "POST / "),
    (to("/", "Transfer-Encoding: chunked", body=CHUNKS), "POST / abc"),
    (to("/", "Transfer-Encoding: ChunKed", body=CHUNKS), "POST / abc"),
    (to("/", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"), "POST / "),
    (to("/", "Transfer-Encoding: chunked",
        body=b"2;x=y\r\nab\r\n001;z=\"q\"\r\nc\r\n000\r\nT: u\r\n\r\n"),
     "POST / abc"),
    (to("/", "Empty:", method="GET"), "GET / "),
    (to("/", "X: \xff\t\"(", method="GET"), "GET / "),
    (request("GET / HTTP/1.1", "Host:"), "GET / "),
    *((request("GET / HTTP/1.1", f"Host: {host}"), "GET / ")
      for host in ("[::1]", "[::1]:80", "a_b.c-d:80", "1.2.3.4")),
    (request("GET / HTTP/1.0", "Connection: keep-alive"), "GET / "),
]

#: Requests that are refused
BAD = [
    # the first line
    b" GET / HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", b"GET /  HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n", b"GET / HTTP/1.1 \r\nHost: h\r\n\r\n",
    b"GET / x HTTP/1.1\r\nHost: h\r\n\r\n", b"GET / HTTP/1.1\nHost: h\r\n\r\n",
    b"GET / HTTP/1.1\rHost: h\r\n\r\n", b"GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /\x7f HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /\x01 HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET / HTTP/1.10\r\nHost: h\r\n\r\n", b"GET / HTTP/11\r\nHost: h\r\n\r\n",
    b"GET / HTTP/2.0\r\nHost: h\r\n\r\n", b"GET / http/1.1\r\nHost: h\r\n\r\n",
    b"GET / HTTP/1.\r\nHost: h\r\n\r\n", b"GET / HTTP/+1.1\r\nHost: h\r\n\r\n",
    b"GET / HTTPS/1.1\r\nHost: h\r\n\r\n", b"G@T / HTTP/1.1\r\nHost: h\r\n\r\n",
    b"G(T) / HTTP/1.1\r\nHost: h\r\n\r\n", b"G\xe9T / HTTP/1.1\r\nHost: h\r\n\r\n",
    b"/ HTTP/1.1\r\nHost: h\r\n\r\n", b"GET\r\nHost: h\r\n\r\n",
    # headers
    to("/", " X: y").replace(b"Host: h\r\n", b""),
    to("/", "X : y"), to("/", "X\t: y"), to("/", ": y"), to("/", "X y"),
    to("/", "X(: y"), to("/", "X\0: y"), to("/", "X: y\0"), to("/", "X: \x0b"),
    to("/", "X: y\rZ: a"), to("/", "X: \x7f"), to("/", "\xe9: y"),
    to("/", "X: y").replace(b"y\r\n", b"y\n"),
    to("/", "X: y").replace(b"y\r\n", b"y\r\r\n"),
    # hosts
    to("/", "Host: h"), to("/", "Host: i"),
    request("GET / HTTP/1.1", "Host: a b"), request("GET / HTTP/1.1", "Host: a/b"),
    request("GET / HTTP/1.1", "Host: a@b"), request("GET / HTTP/1.1", "Host: a, b"),
    request("GET / HTTP/1.0", "Host: a", "Host: b"),
    *(request("GET / HTTP/1.1", f"Host: {host}") for host in (
        "\xe9", "a:x", "a:-1", "a:8:9", "::1", "[", "a]", "[::1]a", "[[::1]")),
    # lengths
    *(to("/", f"Content-Length: {length}", body=b"abc") for length in (
        "-3", "+3", "3_0", "0x3", "3.0", "3 3", "3,3", "3, 3", "", "abc", "\xb3",
        "3;", "'3'", "9" * 20, "3\x0b")),
    to("/", "Content-Length: 3", "Content-Length: 4", body=b"abc"),
    to("/", "Content-Length : 3", body=b"abc"),
    # transfer codings
    *(to("/", f"Transfer-Encoding: {coding}", body=CHUNKS) for coding in (
        "gzip", "gzip, chunked", "chunked, gzip", "chunked, chunked", "identity",
        "xchunked", "chunked;q=1", "\"chunked\"", "chunkedx", "chunked,",
        ",chunked", "")),
    to("/", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked",
       body=CHUNKS),
    to("/", "Transfer-Encoding: chunked", "Transfer-Encoding: identity",
       body=CHUNKS),
    to("/", "Transfer-Encoding: chunked", body=CHUNKS).replace(b"/1.1", b"/1.0"),
    to("/", "Transfer-Encoding : chunked", body=CHUNKS),
    # chunks
    *(to("/", "Transfer-Encoding: chunked", body=chunks) for chunks in (
        b"\r\nabc\r\n0\r\n\r\n", b"g\r\nabc\r\n0\r\n\r\n", b"-3\r\nabc\r\n0\r\n\r\n",
        b"+3\r\nabc\r\n0\r\n\r\n", b"0x3\r\nabc\r\n0\r\n\r\n",
        b" 3\r\nabc\r\n0\r\n\r\n", b"3 \r\nabc\r\n0\r\n\r\n",
        b"3_0\r\nabc\r\n0\r\n\r\n", b"3\nabc\r\n0\r\n\r\n", b"3\rabc\r\n0\r\n\r\n",
        b"3\r\nabc0\r\n\r\n", b"3\r\nabcZZ0\r\n\r\n", b"3\r\nabc\n0\r\n\r\n",
        b"3\r\nabcd\r\n0\r\n\r\n", b"3\r\nab\r\n0\r\n\r\n", b"3;\x01\r\nabc\r\n0\r\n\r\n",
        b"3;a\rb\r\nabc\r\n0\r\n\r\n", b"3;a\nb\r\nabc\r\n0\r\n\r\n",
        b"10000000000000003\r\nabc\r\n0\r\n\r\n", b"3\r\nabc\r\n0\r\nx\r\n\r\n",
        b"3\r\nabc\r\n0\r\nX : y\r\n\r\n", b"3\r\nabc\r\n0\r\nX: \x01\r\n\r\n",
        b"3\r\nabc\r\n0\r\nX: y\n\r\n")),
]

#: Requests that pass unless the server is strict, and end the connection
LENIENT = [
    (request("GET / HTTP/1.1"), "GET / "),
    (request("GET / HTTP/1.1", "X: y"), "GET / "),
    (to("/", "X: y", " z", method="GET"), "GET / "),
    (to("/", "X: y", "\tz", method="GET"), "GET / "),
    (to("/", "Content-Length: 3", "Transfer-Encoding: chunked", body=CHUNKS),
     "POST / abc"),
    (to("/", "Transfer-Encoding: chunked", "Content-Length: 999", body=CHUNKS),
     "POST / abc"),
]

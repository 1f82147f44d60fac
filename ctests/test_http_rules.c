/* Which bytes are a request, as a table: raw requests and what comes back.
 * Each is sent whole, and byte by byte. */
#include "http.h"

#include <string.h>

#define H "Host: a\r\n"

typedef struct rule {
    const char *name;
    const char *request;
    size_t size;
    const char *answer; /* by default */
    const char *lenient; /* with the three leniencies; NULL: the same */
} rule;

#define RULE(title, text, ...)                                                \
    {.name = title, .request = text, .size = sizeof(text) - 1,                \
     .answer = __VA_ARGS__}

static const rule rules[] = {
    /* Plain ones */
    RULE("get", "GET / HTTP/1.1\r\n" H "\r\n", "200 GET / |"),
    RULE("empty line before", "\r\nGET / HTTP/1.1\r\n" H "\r\n",
         "200 GET / |"),
    RULE("two empty lines before", "\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n",
         "400|closed"),
    RULE("old", "GET / HTTP/1.0\r\n\r\n", "200 GET / |closed"),
    RULE("old, kept", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
         "200 GET / |"),
    RULE("close", "GET / HTTP/1.1\r\n" H "Connection: close\r\n\r\n",
         "200 GET / |closed"),
    RULE("close among others",
         "GET / HTTP/1.1\r\n" H "Connection: x, CLOSE , y\r\n\r\n",
         "200 GET / |closed"),
    RULE("close beats keep-alive",
         "GET / HTTP/1.1\r\n" H "Connection: keep-alive\r\n"
         "Connection: close\r\n\r\n",
         "200 GET / |closed"),
    RULE("not close", "GET / HTTP/1.1\r\n" H "Connection: closed\r\n\r\n",
         "200 GET / |"),
    RULE("any token is a method", "!#%&x HTTP/1.1\r\n\r\n", "400|closed"),
    RULE("any token is a method, well", "!#%&x / HTTP/1.1\r\n" H "\r\n",
         "200 !#%&x / |"),
    RULE("high bytes in the target", "GET /\xc3\xa9\xff HTTP/1.1\r\n" H "\r\n",
         "200 GET /\xc3\xa9\xff |"),
    RULE("high bytes in a value",
         "GET / HTTP/1.1\r\n" H "A: \xe9\xff\r\n\r\n", "200 GET / |"),
    RULE("later 1.x", "GET / HTTP/1.9\r\n" H "\r\n", "200 GET / |"),
    RULE("two at once",
         "GET /1 HTTP/1.1\r\n" H "\r\nGET /2 HTTP/1.1\r\n" H "\r\n",
         "200 GET /1 |200 GET /2 |"),
    RULE("nothing after close",
         "GET /1 HTTP/1.0\r\n\r\nGET /2 HTTP/1.1\r\n" H "\r\n",
         "200 GET /1 |closed"),
    RULE("empty value", "GET / HTTP/1.1\r\n" H "A:\r\n\r\n", "200 GET / |"),
    RULE("tabs around a value", "GET / HTTP/1.1\r\nHost:\t a\t \r\n\r\n",
         "200 GET / |"),

    /* Request lines */
    RULE("four words", "GET / x HTTP/1.1\r\n" H "\r\n", "400|closed"),
    RULE("two words", "GET /\r\n\r\n", "400|closed"),
    RULE("one word, and no more", "GET\r\n", "400|closed"),
    RULE("a bad version, and no more", "GET / HTTP/3.0\r\nHost:",
         "505|closed"),
    RULE("one word", "GET\r\n\r\n", "400|closed"),
    RULE("two spaces", "GET  / HTTP/1.1\r\n" H "\r\n", "400|closed"),
    RULE("space at the end", "GET / HTTP/1.1 \r\n" H "\r\n", "400|closed"),
    RULE("space at the beginning", " GET / HTTP/1.1\r\n" H "\r\n",
         "400|closed"),
    RULE("tab", "GET\t/ HTTP/1.1\r\n" H "\r\n", "400|closed"),
    RULE("method not a token", "GE(T / HTTP/1.1\r\n" H "\r\n", "400|closed"),
    RULE("colon in the method", "GET: / HTTP/1.1\r\n" H "\r\n", "400|closed"),
    RULE("control character in the target", "GET /\x01 HTTP/1.1\r\n" H "\r\n",
         "400|closed"),
    RULE("zero in the target", "GET /\0 HTTP/1.1\r\n" H "\r\n", "400|closed"),
    RULE("delete in the target", "GET /\x7f HTTP/1.1\r\n" H "\r\n",
         "400|closed"),
    RULE("version 2", "GET / HTTP/2.0\r\n" H "\r\n", "505|closed"),
    RULE("version 0", "GET / HTTP/0.9\r\n" H "\r\n", "505|closed"),
    RULE("preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
         "505|closed"),
    RULE("version 1.1.1", "GET / HTTP/1.1.1\r\n" H "\r\n", "400|closed"),
    RULE("version 1.10", "GET / HTTP/1.10\r\n" H "\r\n", "400|closed"),
    RULE("version 1.", "GET / HTTP/1.\r\n" H "\r\n", "400|closed"),
    RULE("version in small letters", "GET / http/1.1\r\n" H "\r\n",
         "400|closed"),
    RULE("another protocol", "GET / HTTPS/1.1\r\n" H "\r\n", "400|closed"),
    RULE("TLS", "\x16\x03\x01\x02", "400|closed"),
    RULE("lone LF ends the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n",
         "400|closed"),
    RULE("lone CR in the request line", "GET /\rX HTTP/1.1\r\n" H "\r\n",
         "400|closed"),

    /* Fields */
    RULE("space before the colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
         "400|closed"),
    RULE("tab before the colon", "GET / HTTP/1.1\r\nHost\t: a\r\n\r\n",
         "400|closed"),
    RULE("no colon", "GET / HTTP/1.1\r\n" H "A\r\n\r\n", "400|closed"),
    RULE("no name", "GET / HTTP/1.1\r\n" H ": b\r\n\r\n", "400|closed"),
    RULE("name not a token", "GET / HTTP/1.1\r\n" H "A(: b\r\n\r\n",
         "400|closed"),
    RULE("high byte in a name", "GET / HTTP/1.1\r\n" H "A\xe9: b\r\n\r\n",
         "400|closed"),
    RULE("space before the first name", "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
         "400|closed"),
    RULE("zero in a value", "GET / HTTP/1.1\r\n" H "A: b\0c\r\n\r\n",
         "400|closed"),
    RULE("control character in a value",
         "GET / HTTP/1.1\r\n" H "A: b\x02\r\n\r\n", "400|closed"),
    RULE("delete in a value", "GET / HTTP/1.1\r\n" H "A: \x7f\r\n\r\n",
         "400|closed"),
    RULE("lone CR in a value", "GET / HTTP/1.1\r\n" H "A: b\rc\r\n\r\n",
         "400|closed"),
    RULE("CR CR LF", "GET / HTTP/1.1\r\n" H "A: b\r\r\n\r\n", "400|closed"),
    RULE("lone LF ends a field", "GET / HTTP/1.1\r\nHost: a\n\r\n",
         "400|closed"),
    RULE("lone LF ends the head", "GET / HTTP/1.1\r\nHost: a\r\n\n",
         "400|closed"),
    RULE("lone LF in a value hides a field",
         "GET / HTTP/1.1\r\n" H "A: b\nContent-Length: 5\r\n\r\nabcde",
         "400|closed"),
    RULE("folded", "GET / HTTP/1.1\r\n" H "A: b\r\n c\r\n\r\n", "400|closed",
         "200 GET / |closed"),
    RULE("folded with a tab", "GET / HTTP/1.1\r\n" H "A: b\r\n\tc\r\n\r\n",
         "400|closed", "200 GET / |closed"),
    RULE("folded at once", "GET / HTTP/1.1\r\n" H "A:\r\n c\r\n\r\n",
         "400|closed", "200 GET / |closed"),
    RULE("a fold that hides a length",
         "POST / HTTP/1.1\r\n" H "A: b\r\n Content-Length: 3\r\n\r\nabc",
         "400|closed", "200 POST / |closed"),

    /* Host */
    RULE("no Host", "GET / HTTP/1.1\r\n\r\n", "400|closed",
         "200 GET / |closed"),
    RULE("two Hosts", "GET / HTTP/1.1\r\n" H H "\r\n", "400|closed"),
    RULE("empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", "200 GET / |"),
    RULE("Host with a port", "GET / HTTP/1.1\r\nHost: a.b:80\r\n\r\n",
         "200 GET / |"),
    RULE("Host, IPv6", "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
         "200 GET / |"),
    RULE("Host, IPv6 alone", "GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n",
         "200 GET / |"),
    RULE("Host with an empty port", "GET / HTTP/1.1\r\nHost: a:\r\n\r\n",
         "200 GET / |"),
    RULE("Host with a port that is none",
         "GET / HTTP/1.1\r\nHost: a:x\r\n\r\n", "400|closed"),
    RULE("Host with two ports", "GET / HTTP/1.1\r\nHost: a:8:9\r\n\r\n",
         "400|closed"),
    RULE("Host with a bracket", "GET / HTTP/1.1\r\nHost: [\r\n\r\n",
         "400|closed"),
    RULE("Host with a bracket amid", "GET / HTTP/1.1\r\nHost: a]\r\n\r\n",
         "400|closed"),
    RULE("Host after a bracket", "GET / HTTP/1.1\r\nHost: [::1]a\r\n\r\n",
         "400|closed"),
    RULE("Host with two brackets", "GET / HTTP/1.1\r\nHost: [[::1]\r\n\r\n",
         "400|closed"),
    RULE("Host with a space", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
         "400|closed"),
    RULE("Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
         "400|closed"),
    RULE("Host with a user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
         "400|closed"),
    RULE("Host with a high byte", "GET / HTTP/1.1\r\nHost: \xe9\r\n\r\n",
         "400|closed"),

    /* Content-Length */
    RULE("length", "POST / HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc",
         "200 POST / abc|"),
    RULE("length between blanks",
         "POST / HTTP/1.1\r\n" H "Content-Length: \t 3\t \t\r\n\r\nabc",
         "200 POST / abc|"),
    RULE("length between tabs",
         "POST / HTTP/1.1\r\n" H "Content-Length:\t3\t\r\n\r\nabc",
         "200 POST / abc|"),
    RULE("a blank within the length",
         "POST / HTTP/1.1\r\n" H "Content-Length: 3\t0\r\n\r\nabc",
         "400|closed"),
    RULE("chunked between tabs",
         "POST / HTTP/1.1\r\n" H "Transfer-Encoding:\tchunked\t \r\n\r\n"
         "3\r\nabc\r\n0\r\n\r\n",
         "200 POST / abc|"),
    RULE("length 0", "POST / HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n",
         "200 POST / |"),
    RULE("length with zeros",
         "POST / HTTP/1.1\r\n" H "Content-Length: 0003\r\n\r\nabc",
         "200 POST / abc|"),
    RULE("length, then another request",
         "POST / HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc"
         "GET /2 HTTP/1.1\r\n" H "\r\n",
         "200 POST / abc|200 GET /2 |"),
    RULE("two lengths",
         "POST / HTTP/1.1\r\n" H "Content-Length: 3\r\n"
         "Content-Length: 4\r\n\r\nabcd",
         "400|closed"),
    RULE("the same length twice",
         "POST / HTTP/1.1\r\n" H "Content-Length: 3\r\n"
         "Content-Length: 3\r\n\r\nabc",
         "400|closed"),
    RULE("a list of lengths",
         "POST / HTTP/1.1\r\n" H "Content-Length: 3, 3\r\n\r\nabc",
         "400|closed"),
    RULE("length with a sign",
         "POST / HTTP/1.1\r\n" H "Content-Length: +3\r\n\r\nabc",
         "400|closed"),
    RULE("negative length",
         "POST / HTTP/1.1\r\n" H "Content-Length: -3\r\n\r\nabc",
         "400|closed"),
    RULE("length with an underscore",
         "POST / HTTP/1.1\r\n" H "Content-Length: 1_0\r\n\r\nabcdefghij",
         "400|closed"),
    RULE("length in hexadecimal",
         "POST / HTTP/1.1\r\n" H "Content-Length: 0x3\r\n\r\nabc",
         "400|closed"),
    RULE("length with a space within",
         "POST / HTTP/1.1\r\n" H "Content-Length: 1 0\r\n\r\nabc",
         "400|closed"),
    RULE("empty length", "POST / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n",
         "400|closed"),
    RULE("length of a high digit",
         "POST / HTTP/1.1\r\n" H "Content-Length: \xb3\r\n\r\nabc",
         "400|closed"),
    RULE("length beyond all",
         "POST / HTTP/1.1\r\n" H
         "Content-Length: 99999999999999999999\r\n\r\nabc",
         "400|closed"),
    RULE("length of 2^64 and 3",
         "POST / HTTP/1.1\r\n" H
         "Content-Length: 18446744073709551619\r\n\r\nabc",
         "400|closed"),
    RULE("length before the colon",
         "POST / HTTP/1.1\r\n" H "Content-Length : 3\r\n\r\nabc",
         "400|closed"),

    /* Transfer-Encoding */
    RULE("chunked",
         "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
         "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n",
         "200 POST / abcde|"),
    RULE("chunked in large letters",
         "POST / HTTP/1.1\r\n" H "Transfer-Encoding: CHUNKED\r\n\r\n"
         "A\r\nabcdefghij\r\na\r\nABCDEFGHIJ\r\n0\r\n\r\n",
         "200 POST / abcdefghijABCDEFGHIJ|"),
    RULE("chunked with trailers, then another",
         "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
         "3\r\nabc\r\n0\r\nA: b\r\nC: d\r\n\r\nGET /2 HTTP/1.1\r\n" H "\r\n",
         "200 POST / abc|200 GET /2 |"),
    RULE("chunked beside length",
         "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n"
         "Content-Length: 1000\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
         "400|closed", "200 POST / abc|closed"),
    RULE("length beside chunked",
         "POST / HTTP/1.1\r\n" H "Content-Length: 0\r\n"
         "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
         "400|closed", "200 POST / abc|closed"),
    RULE("nothing after both",
         "POST / HTTP/1.1\r\n" H "Content-Length: 6\r\n"
         "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
         "GET /2 HTTP/1.1\r\n" H "\r\n",
         "400|closed", "200 POST / |closed"),
    RULE("chunked beside a bad length",
         "POST / HTTP/1.1\r\n" H "Content-Length: x\r\n"
         "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         "400|closed"),
    RULE("chunked in 1.0",
         "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         "400|closed"),
    RULE("chunked twice",
         "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n"
         "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         "400|closed"),
    RULE("chunked, chunked",
         "POST / HTTP/1.1\r\n" H
         "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
         "400|closed"),
    RULE("unknown coding before",
         "POST / HTTP/1.1\r\n" H
         "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
         "501|closed"),
    RULE("unknown coding after",
         "POST / HTTP/1.1\r\n" H
         "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
         "400|closed"),
    RULE("unknown coding alone",
         "POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip\r\n\r\n",
         "400|closed"),
    RULE("identity",
         "POST / HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n\r\n",
         "400|closed"),
    RULE("xchunked",
         "POST / HTTP/1.1\r\n" H
         "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
         "400|closed"),
    RULE("quoted chunked",
         "POST / HTTP/1.1\r\n" H
         "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
         "400|closed"),
    RULE("empty coding",
         "POST / HTTP/1.1\r\n" H "Transfer-Encoding:\r\n\r\n0\r\n\r\n",
         "400|closed"),
    RULE("vertical tab before chunked",
         "POST / HTTP/1.1\r\n" H
         "Transfer-Encoding:\x0b chunked\r\n\r\n0\r\n\r\n",
         "400|closed"),

    /* Chunks */
    RULE("chunk without its end",
         "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
         "3\r\nabcZZ0\r\n\r\nGET /admin HTTP/1.1\r\n" H "\r\n",
         "400 EBADMSG|closed"),
    RULE("chunk longer than its size",
         "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
         "3\r\nabcd\r\n0\r\n\r\n",
         "400 EBADMSG|closed"),
    RULE("lone LF after a size",
         "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
         "3\nabc\r\n0\r\n\r\n",
         "400 EBADMSG|closed"),
    RULE("lone LF after a chunk",
         "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
         "3\r\nabc\n0\r\n\r\n",
         "400 EBADMSG|closed"),
    RULE("lone LF in an extension",
         "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
         "3;a\nb\r\nabc\r\n0\r\n\r\n",
         "400 EBADMSG|closed"),
    RULE("lone CR in an extension",
         "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
         "3;a\rb\r\nabc\r\n0\r\n\r\n",
         "400 EBADMSG|closed"),
    RULE("chunk size with 0x",
         "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
         "0x3\r\nabc\r\n0\r\n\r\n",
         "400 EBADMSG|closed"),
    RULE("negative chunk size",
         "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
         "-3\r\nabc\r\n0\r\n\r\n",
         "400 EBADMSG|closed"),
    RULE("no chunk size",
         "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
         ";a\r\nabc\r\n0\r\n\r\n",
         "400 EBADMSG|closed"),
    RULE("chunk size with a space",
         "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
         "3 \r\nabc\r\n0\r\n\r\n",
         "400 EBADMSG|closed"),
    RULE("chunk size with a space and a letter",
         "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
         "3 a\r\nabc\r\n0\r\n\r\n",
         "400 EBADMSG|closed"),
    RULE("chunk size after a space",
         "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
         " 3\r\nabc\r\n0\r\n\r\n",
         "400 EBADMSG|closed"),
    RULE("chunk extensions with white space",
         "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
         "3 ; a = \"b;\\\"c\" \t; d\r\nabc\r\n0\t;e \r\n\r\n"
         "GET /2 HTTP/1.1\r\n" H "\r\n",
         "200 POST / abc|200 GET /2 |"),
    RULE("chunk extensions of nothing",
         "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
         "3;\r\nabc\r\n0;=;\r\n\r\nGET /2 HTTP/1.1\r\n" H "\r\n",
         "200 POST / abc|200 GET /2 |"),
    RULE("control character in an extension",
         "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
         "3;a\x01\r\nabc\r\n0\r\n\r\n",
         "400 EBADMSG|closed"),
    RULE("lone LF in a quoted extension",
         "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
         "3;a=\"\n\"\r\nabc\r\n0\r\n\r\n",
         "400 EBADMSG|closed"),
    RULE("two CR after a size",
         "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
         "3\r\r\nabc\r\n0\r\n\r\n",
         "400 EBADMSG|closed"),
    RULE("sixteen digits and more",
         "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
         "00000000000000000003\r\nabc\r\n0\r\n\r\n",
         "200 POST / abc|"),
    RULE("chunk size of 64 bits",
         "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
         "8000000000000003\r\nabc\r\n0\r\n\r\n",
         "400 EBADMSG|closed"),
    RULE("chunk size of 65 bits",
         "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
         "10000000000000003\r\nabc\r\n0\r\n\r\n",
         "400 EBADMSG|closed"),
    RULE("trailer with a lone LF",
         "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
         "0\r\nA: b\n\r\n",
         "400 EBADMSG|closed"),
    RULE("trailer without a colon",
         "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
         "0\r\nGET / HTTP/1.1\r\n\r\n",
         "400 EBADMSG|closed"),
    RULE("folded trailer",
         "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
         "0\r\nA: b\r\n c\r\n\r\n",
         "400 EBADMSG|closed"),
    RULE("trailer that is a length",
         "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
         "0\r\nContent-Length: 50\r\n\r\nGET /2 HTTP/1.1\r\n" H "\r\n",
         "200 POST / |200 GET /2 |"),

    /* Methods and bodies */
    RULE("head", "HEAD / HTTP/1.1\r\n" H "Connection: close\r\n\r\n", NULL),
    RULE("get with a body",
         "GET / HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc",
         "200 GET / abc|"),
    RULE("connect", "CONNECT a:80 HTTP/1.1\r\n" H "\r\nGET /2 HTTP/1.1\r\n" H
         "\r\n", "200 CONNECT a:80 |closed"),
    RULE("upgrade with a body",
         "POST / HTTP/1.1\r\n" H "Connection: Upgrade\r\nUpgrade: h2c\r\n"
         "Content-Length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\n" H "\r\n",
         "200 POST / abc|200 GET /2 |"),
};

enum { RULES = sizeof rules / sizeof *rules };

static const gcore_http_options lenient = {
    .size = sizeof lenient,
    .flags = GCORE_HTTP_ALLOW_BOTH_LENGTHS | GCORE_HTTP_ALLOW_NO_HOST |
             GCORE_HTTP_ALLOW_FOLDED | GCORE_HTTP_REPORT,
};

static peer one; /* too big for the stack */

static int wrong;

static void check(const rule *it, const char *expected, const char *how)
{
    if (strcmp(answers(&one), expected) == 0)
        return;
    print_error("%s, %s:\n  expected %s\n  got      %s\n", it->name, how,
                expected, answers(&one));
    wrong++;
}

static void play(echo_server *server, const rule *it, size_t piece)
{
    peer_open(&one, server);
    for (size_t at = 0; at < it->size; at += piece) {
        size_t size = it->size - at < piece ? it->size - at : piece;

        peer_send(&one, it->request + at, size);
        if (piece < it->size)
            settle(server, &one);
    }
    settle(server, &one);
    peer_close(&one);
    settle(server, &one);
}

static void play_all(const gcore_http_options *options, bool is_lenient)
{
    echo_server server;

    wrong = 0;
    echo_open(&server, options);
    for (int i = 0; i < RULES; i++) {
        const rule *it = &rules[i];
        const char *expected =
            is_lenient && it->lenient ? it->lenient : it->answer;

        if (!expected)
            continue;
        play(&server, it, it->size);
        check(it, expected, "whole");
        if (i % (100 / support_times(100)) != 0)
            continue;
        play(&server, it, 1);
        check(it, expected, "byte by byte");
    }
    echo_close(&server);
    assert_int_equal(wrong, 0);
}

static void strict_rules(void **state)
{
    (void)state;
    play_all(NULL, false);
}

static void lenient_rules(void **state)
{
    (void)state;
    play_all(&lenient, true);
}

/* A refused request is handed over when asked for, with the reason. */
static void refusals_are_reported(void **state)
{
    echo_server server;

    (void)state;
    echo_open(&server, &lenient);
    for (int i = 0; i < RULES; i++) {
        const char *expected =
            rules[i].lenient ? rules[i].lenient : rules[i].answer;
        bool refused = expected && strcmp(expected + 3, "|closed") == 0;

        server.reports = 0;
        play(&server, &rules[i], rules[i].size);
        assert_int_equal(server.reports, refused);
        if (refused)
            assert_memory_equal(server.reason, expected, 3);
    }
    echo_close(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(strict_rules),
        TEST(lenient_rules),
        TEST(refusals_are_reported),
    };

    return RUN(tests);
}

"""Programs of the standard library that resolve names while greenlets run."""

PREAMBLE = """
    from gevent import monkey; monkey.patch_all()
    import gevent, socket

    turns = 0

    def others():
        global turns
        while True:
            gevent.sleep(0)
            turns += 1

    gevent.spawn(others)
    assert type(gevent.get_hub().resolver).__module__ == (
        'gevent.resolver.ares')
"""


def run(run_program, serve, source, **environment):
    server = serve({"here.test": {"A": ["127.0.0.1"], "delay": 0.05},
                    "www.test": {"CNAME": ["here.test"], "delay": 0.05}})
    run_program(PREAMBLE + source + "\n    assert turns\n",
                GEVENT_RESOLVER="ares",
                GEVENT_RESOLVER_NAMESERVERS=server.address, **environment)


def test_urllib_and_http_client(run_program, serve):
    run(run_program, serve, """
    import http.client
    import http.server
    import urllib.request

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = self.headers['Host'].encode()
            self.send_response(200)
            self.send_header('Content-Length', str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    class Server(http.server.ThreadingHTTPServer):
        request_queue_size = 128  # all come at once; the class's own is 5

    server = Server(('127.0.0.1', 0), Handler)
    port = server.server_address[1]
    gevent.spawn(server.serve_forever)

    def fetch(number):
        host = 'www.test' if number % 2 else 'here.test'
        url = 'http://%s:%d/' % (host, port)
        with urllib.request.urlopen(url, timeout=20) as answer:
            assert answer.read() == b'%s:%d' % (host.encode(), port)
        connection = http.client.HTTPConnection(host, port, timeout=20)
        connection.request('GET', '/')
        assert connection.getresponse().read().startswith(host.encode())
        connection.close()

    jobs = [gevent.spawn(fetch, number) for number in range(20)]
    gevent.joinall(jobs, raise_error=True)
    try:
        urllib.request.urlopen('http://nothing.test/')
        raise AssertionError
    except urllib.error.URLError as error:
        assert error.reason.errno == socket.EAI_NONAME
    """)


def test_smtplib(run_program, serve):
    run(run_program, serve, """
    import smtplib
    from gevent.server import StreamServer

    received = []

    def serve(sock, address):
        file = sock.makefile('rwb')

        def say(text):
            file.write(text + b'\\r\\n')
            file.flush()

        say(b'220 here.test')
        data = None
        for line in file:
            if data is not None:
                if line == b'.\\r\\n':
                    received.append(b''.join(data))
                    data = None
                    say(b'250 taken')
                else:
                    data.append(line)
            elif line.upper().startswith(b'DATA'):
                data = []
                say(b'354 go on')
            elif line.upper().startswith(b'QUIT'):
                say(b'221 bye')
                break
            else:
                say(b'250 fine')
        sock.close()

    server = StreamServer(('127.0.0.1', 0), serve)
    server.start()

    def send(number):
        with smtplib.SMTP('www.test', server.server_port, timeout=20) as smtp:
            smtp.sendmail('a@here.test', ['b@here.test'],
                          'Subject: %d\\r\\n\\r\\nhello' % number)

    gevent.joinall([gevent.spawn(send, number) for number in range(10)],
                   raise_error=True)
    assert len(received) == 10
    """)

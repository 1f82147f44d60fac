"""The same pages over TLS.

    python wsgiserver_ssl.py [HOST:PORT [CERTIFICATE.pem]]

Without a certificate (a file with the key, too), openssl makes one that
nobody trusts.
"""
import os
import sys
import tempfile

from gevent import ssl, subprocess
from gevent.pywsgi import WSGIServer
from wsgiserver import application


def make_certificate(folder):
    """Make a self-signed certificate; the path of its file."""
    path = os.path.join(folder, "localhost.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes",
         "-days", "2", "-subj", "/CN=localhost", "-keyout", path,
         "-out", path + ".cert"], check=True, stderr=subprocess.DEVNULL)
    with open(path, "a") as whole, open(path + ".cert") as certificate:
        whole.write(certificate.read())
    return path


def serve(listener, certificate):
    """Serve until stopped."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    print(f"Serving on https://{listener}", flush=True)
    WSGIServer(listener, application, ssl_context=context).serve_forever()


if __name__ == "__main__":
    address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8443"
    if len(sys.argv) > 2:
        serve(address, sys.argv[2])
    else:
        with tempfile.TemporaryDirectory() as scratch:
            serve(address, make_certificate(scratch))

"""Answer each datagram with its size.

    python udp_server.py [HOST:PORT]
"""
import sys

from gevent.server import DatagramServer


class SizeServer(DatagramServer):

    def handle(self, data, address):
        print(f"{address[0]}: {data!r}", flush=True)
        self.sendto(b"Received %d bytes" % len(data), address)


if __name__ == "__main__":
    listener = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:9000"
    print(f"Receiving datagrams on {listener}", flush=True)
    SizeServer(listener).serve_forever()

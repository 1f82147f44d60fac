"""Upstream's second loop by name only: there is one engine here.

A program that asks for libuv (``GEVENT_LOOP=libuv-cffi``) gets that engine.
"""

__all__ = []

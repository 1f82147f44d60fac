"""`gevent.pywsgi`, by the name its predecessor had."""
from gevent.pywsgi import WSGIHandler, WSGIServer

__all__ = ['WSGIServer', 'WSGIHandler']

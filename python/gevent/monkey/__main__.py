"""``python -m gevent.monkey``"""
from gevent.monkey._main import main

__all__ = []

if __name__ == '__main__':
    main()

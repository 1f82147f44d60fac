"""A function call in the run queue: the plain twin of accel/callback.c."""
from libgcore._plain_base import has_plain_switch

__all__ = ['callback', 'run_switch']


class callback:
    """A function call in the run queue; true while pending or executing."""

    __slots__ = ('callback', 'args', '_starts', '__weakref__')

    def __init__(self, callback, args, _starts=None):
        self.callback = callback
        self.args = args
        self._starts = _starts

    def stop(self):
        """Do not run it."""
        self.callback = self.args = self._starts = None

    close = stop

    def __bool__(self):
        return self.args is not None

    @property
    def pending(self):
        """Whether it has yet to run."""
        return self.callback is not None

    def __repr__(self):
        if self.args is None:
            state = 'stopped'
        elif self.callback is None:  # it runs
            state = 'args=%r' % (self.args,)
        else:
            state = 'pending callback=%r args=%r' % (self.callback, self.args)
        return '<callback at 0x%x %s>' % (id(self), state)

    def _run(self, loop):
        func, args, starts = self.callback, self.args, self._starts
        if func is None or args is None:
            return
        self.callback = None
        try:
            if starts is not None and has_plain_switch(starts):
                loop._run_greenlet(starts, args, self)
            else:
                func(*args)
        except:  # pylint:disable=bare-except
            loop._report(self)
        self.args = self._starts = None


def run_switch(loop, target):
    """Queue the start of a greenlet; a callback that can be stopped."""
    loop._check()
    queued = callback(target.switch, (), target)
    loop._push(queued)
    return queued

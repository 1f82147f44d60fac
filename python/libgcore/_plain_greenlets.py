"""Giving up: the plain twin of what accel/greenlets.c does, and sleep()."""
from greenlet import getcurrent, greenlet

from libgcore._plain_base import (
    deadline_in, get_hub, get_hub_if_exists, plain_switch,
)
from libgcore._plain_loop import Loop
from libgcore._plain_wait import RESUMED, Wait, pause

__all__ = ['HubBase', 'sleep']


class HubBase(greenlet):
    """A greenlet whose ``switch()`` gives up to the run queue."""

    def switch(self):
        """Let other greenlets run until this one is woken."""
        # References to the current greenlet in its own frame would keep it
        # when all others are gone while it is parked.
        ident = id(getcurrent())
        switch_out = getattr(getcurrent(), 'switch_out', None)
        if switch_out is not None:
            switch_out()
        del switch_out
        loop = self.loop if get_hub_if_exists() is self else None
        if not isinstance(loop, Loop):
            return plain_switch(self)
        wait = loop._take_direct()
        target = self
        if wait is not None:
            target = wait.greenlet
            wait._state = RESUMED
        try:
            return None if id(target) == ident else plain_switch(target)
        finally:
            loop._note_switch(ident)


def sleep(seconds=0, ref=True):
    """Let others run, for at least `seconds`.

    With 0 (or less) what is queued already runs before the caller goes on.
    `ref` says whether the loop stays alive for the sake of this sleep alone.
    """
    if seconds <= 0:
        pause()
        return
    hub = get_hub()
    if isinstance(hub.loop, Loop):
        Wait()._park_until(deadline_in(seconds), ref, 0)
        return
    # A hub whose loop attribute was replaced sleeps on what stands there.
    hub.loop.update_now()
    with hub.loop.timer(seconds, 0.0, ref) as timer:
        hub.wait(timer)

"""The contexts (contextvars) with which greenlets begin."""
import contextvars

import gevent
import pytest
from gevent.pool import Pool

VAR = contextvars.ContextVar("VAR", default="unset")


@pytest.fixture
def inherited():
    setting = gevent.config.greenlet_context
    gevent.config.greenlet_context = "inherit"
    yield
    gevent.config.greenlet_context = setting


def in_context(function, *args):
    """Call it with VAR set, and nothing of that left afterwards."""
    def run():
        VAR.set("outer")
        return function(*args)
    return contextvars.copy_context().run(run)


def test_empty_unless_asked_for():
    assert in_context(lambda: gevent.spawn(VAR.get).get()) == "unset"


def test_inherited_from_who_makes_it(inherited):
    def change_and_get():
        before = VAR.get()
        VAR.set("inner")
        return before, gevent.spawn(VAR.get).get()

    def spawn():
        inner = gevent.spawn(change_and_get).get()
        return inner, VAR.get(), Pool(2).map(lambda _: VAR.get(), range(3))

    assert in_context(spawn) == (
        ("outer", "inner"), "outer", ["outer"] * 3)
    assert VAR.get() == "unset"


def test_it_is_that_of_the_moment_it_was_made(inherited):
    def spawn():
        greenlet = gevent.Greenlet(VAR.get)
        VAR.set("later")
        greenlet.start()
        return greenlet.get()

    assert in_context(spawn) == "outer"


def test_raw_greenlets_inherit_too(inherited):
    found = []
    in_context(gevent.spawn_raw, lambda: found.append(VAR.get()))
    gevent.sleep(0)
    assert found == ["outer"]


def test_a_context_of_ones_own():
    context = contextvars.Context()
    context.run(VAR.set, "mine")
    greenlet = gevent.Greenlet.spawn_in_context(
        context, lambda *args, **kwargs: (VAR.get(), args, kwargs),
        1, context=2)
    assert greenlet.get() == ("mine", (1,), {"context": 2})
    again = gevent.Greenlet(VAR.get)
    again.gr_context = context
    again.start()
    assert again.get() == "mine"


def test_context_stays_an_argument_of_what_is_spawned(inherited):
    assert gevent.spawn(dict, context=1).get() == {"context": 1}


def test_by_environment(run_program):
    source = """
        import contextvars, gevent
        var = contextvars.ContextVar("var", default=0)
        var.set(1)
        print(gevent.spawn(var.get).get())
    """
    assert run_program(source).stdout == "0\n"
    assert run_program(source, GEVENT_CONTEXT="inherit").stdout == "1\n"
    refused = run_program(source, GEVENT_CONTEXT="other", status=None)
    assert refused.returncode and "inherit" in refused.stderr

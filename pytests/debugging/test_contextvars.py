"""gevent.contextvars, by itself."""
import gevent
import pytest
from gevent.contextvars import Context, ContextVar, Token, copy_context


def in_new_context(function):
    return lambda: Context().run(function)


def test_values_belong_to_greenlets():
    var = ContextVar("var", default="default")

    def work(value):
        assert var.get() == "default"
        var.set(value)
        gevent.sleep(0)
        return var.get()

    greenlets = [gevent.spawn(work, n) for n in range(3)]
    assert [greenlet.get() for greenlet in greenlets] == [0, 1, 2]
    assert var.get() == "default"


def test_set_and_reset():
    @in_new_context
    def test():
        var = ContextVar("var")
        with pytest.raises(LookupError):
            var.get()
        assert var.get("other") == "other"
        first = var.set(1)
        second = var.set(2)
        assert (first.var, first.old_value) == (var, Token.MISSING)
        assert second.old_value == 1 and var.get() == 2
        assert " used " not in repr(second)
        var.reset(second)
        assert " used " in repr(second) and var.get() == 1
        with pytest.raises(RuntimeError, match="already been used"):
            var.reset(second)
        var.reset(first)
        assert var.get(None) is None
    test()


def test_tokens_of_others():
    @in_new_context
    def test():
        one, other = ContextVar("one"), ContextVar("other")
        with pytest.raises(ValueError, match="different ContextVar"):
            other.reset(one.set(1))
        with pytest.raises(ValueError, match="different Context"):
            one.reset(Context().run(one.set, 2))
    test()


def test_run():
    context, var = Context(), ContextVar("var")

    def change():
        var.set(1)
        with pytest.raises(RuntimeError, match="already entered"):
            context.run(change)
        return copy_context()

    copy = context.run(change)
    assert copy == context and copy is not context
    assert context[var] == 1 and var in context and len(context) == 1
    assert list(context.items()) == [(var, 1)]
    assert var.get(None) is None
    with pytest.raises(ZeroDivisionError):
        context.run(lambda: 1 / 0)
    assert context.run(var.get) == 1
    copy.run(var.set, 2)
    assert context[var] == 1


@pytest.mark.parametrize("use", [
    lambda context: context[1], lambda context: 1 in context,
    lambda context: context.get(1),
])
def test_keys_are_variables(use):
    with pytest.raises(TypeError, match="ContextVar key was expected"):
        use(Context())


def test_repr_of_a_variable_within_its_default():
    default = []
    var = ContextVar("var", default=default)
    default.append(var)
    assert "..." in repr(var) and "var" in repr(var)


def test_names():
    assert ContextVar("a").name == "a"
    with pytest.raises(AttributeError):
        ContextVar("a").name = "b"
    with pytest.raises(TypeError):
        Context(1)
    assert ContextVar[str] is ContextVar

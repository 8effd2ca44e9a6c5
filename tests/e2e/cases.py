"""Tests that are alike: a method with parameters, and a table of what it is called with."""


class cases:
    """Decorates a method: each line of the table, name -> arguments, becomes a test of that name."""

    labels = ()

    def __init__(self, table):
        self._table = table

    def __call__(self, method):
        self._method = method
        return self

    def __set_name__(self, owner, name):
        setattr(owner, name, self._method)
        for case, arguments in self._table.items():
            setattr(owner, f"test_{case}", self._test(arguments))

    def _test(self, arguments):
        method = self._method

        def test(instance):
            method(instance, *arguments)

        test.labels = self.labels
        return test

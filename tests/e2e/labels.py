"""Labels beside the tests: what a test needs or is. cmake/Testing.cmake declares them."""


def labels(*names):
    """Decorates a test class or a test method. A subclass has the labels of its base class too."""

    def decorate(test):
        test.labels = {*names, *getattr(test, "labels", ())}
        return test

    return decorate


def labels_of(test_class, method):
    """All labels of one test, sorted."""
    own = getattr(getattr(test_class, method), "labels", ())
    return sorted({*own, *getattr(test_class, "labels", ())})

"""A scalar with reverse-mode differentiation, as the notebook builds it: for tests only."""

import math


class Value:
    """A number that remembers how it was computed."""

    def __init__(self, data, parents=(), partials=(), op="", label=""):
        self.data, self.grad = float(data), 0.0
        self.parents, self.partials, self.op, self.label = parents, partials, op, label

    def __add__(self, other):
        return Value(self.data + other.data, (self, other), (1.0, 1.0), "+")

    def __mul__(self, other):
        return Value(self.data * other.data, (self, other), (other.data, self.data), "*")

    def __pow__(self, n):
        return Value(self.data**n, (self,), (n * self.data ** (n - 1),), f"**{n}")

    def tanh(self):
        y = math.tanh(self.data)
        return Value(y, (self,), (1 - y**2,), "tanh")

    def named(self, label):
        self.label = label
        return self

    def backward(self):
        """Add up the gradients of everything this depends on."""
        order, seen = [], set()

        def visit(node):
            if id(node) not in seen:
                seen.add(id(node))
                for parent in node.parents:
                    visit(parent)
                order.append(node)

        visit(self)
        self.grad = 1.0
        for node in reversed(order):
            for parent, partial in zip(node.parents, node.partials, strict=True):
                parent.grad += node.grad * partial


def neuron():
    """tanh(x1 w1 + x2 w2 + b): no node is used twice."""
    x1, w1 = Value(2.0, label="x1"), Value(-3.0, label="w1")
    x2, w2 = Value(0.5, label="x2"), Value(1.0, label="w2")
    n = (x1 * w1 + x2 * w2 + Value(6.0, label="b")).named("n")
    return n.tanh().named("o")


def shared():
    """(a b (a + b) - a)^2: a is used three times, b twice."""
    a, b = Value(-2.0, label="a"), Value(3.0, label="b")
    d, e = (a * b).named("d"), (a + b).named("e")
    return ((d * e + a * Value(-1)) ** 2).named("L")

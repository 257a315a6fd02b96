# %% right: from exponentials that cannot overflow
def activate(z, name):
    if name == "leaky_relu":
        return np.maximum(z, 0.1 * z), 0.1 + 0.9 * (z > 0)
    small = np.exp(-2 * np.abs(z))
    h = np.sign(z) * (1 - small) / (1 + small)
    return h, 4 * small / (1 + small) ** 2


# %% right: masks
def activate(z, name):
    h, slope = np.array(z, dtype=float), np.ones(z.shape)
    if name == "tanh":
        h = np.tanh(h)
        return [h, (1 + h) * (1 - h)]
    h[z <= 0] *= 0.1
    slope[z <= 0] = 0.1
    return [h, slope]


# %% wrong: slope of tanh taken at the output
# You apply tanh a second time in the slope: h is already the tanh of z.
def activate(z, name):
    if name == "tanh":
        h = np.tanh(z)
        return h, 1 - np.tanh(h) ** 2
    return np.where(z > 0, z, 0.1 * z), np.where(z > 0, 1, 0.1)


# %% wrong: slope of tanh from the score
# Your slope of tanh is 1 - z^2, in the score: derive it again, and see what is squared.
def activate(z, name):
    if name == "tanh":
        return np.tanh(z), 1 - z**2
    return np.where(z > 0, z, 0.1 * z), np.where(z > 0, 1, 0.1)


# %% wrong: slope of the sigmoid
# h (1 - h) is the slope of the sigmoid: tanh has another one.
def activate(z, name):
    if name == "tanh":
        h = np.tanh(z)
        return h, h * (1 - h)
    return np.where(z > 0, z, 0.1 * z), np.where(z > 0, 1, 0.1)


# %% wrong: no square in the slope of tanh
# Your slope of tanh is 1 - h: differentiate once more by hand, and check it at a negative z.
def activate(z, name):
    if name == "tanh":
        h = np.tanh(z)
        return h, 1 - h
    return np.where(z > 0, z, 0.1 * z), np.where(z > 0, 1, 0.1)


# %% wrong: tanh by overflowing exponentials
# Your tanh is NaN for large scores, as infinity is divided by infinity: NumPy has a safe tanh.
def activate(z, name):
    if name == "tanh":
        h = (np.exp(z) - np.exp(-z)) / (np.exp(z) + np.exp(-z))
        return h, 1 - h**2
    return np.where(z > 0, z, 0.1 * z), np.where(z > 0, 1, 0.1)


# %% wrong: sigmoid instead of tanh
# Under the name tanh you compute the sigmoid: look at the table of the two activations.
def activate(z, name):
    if name == "tanh":
        h = 0.5 + 0.5 * np.tanh(z / 2)
        return h, h * (1 - h)
    return np.where(z > 0, z, 0.1 * z), np.where(z > 0, 1, 0.1)


# %% wrong: plain ReLU
# That is the plain ReLU: the leaky one lets a tenth through where z is negative.
def activate(z, name):
    if name == "tanh":
        h = np.tanh(z)
        return h, 1 - h**2
    return np.maximum(z, 0), np.where(z > 0, 1, 0)


# %% wrong: slope of plain ReLU
# The values leak but the slope is 0 for negative z: a tenth comes through, so what is its slope?
def activate(z, name):
    if name == "tanh":
        h = np.tanh(z)
        return h, 1 - h**2
    return np.where(z > 0, z, 0.1 * z), np.where(z > 0, 1, 0)


# %% wrong: slope 1 at the kink
# At z = 0 you take the slope from the right: the text takes it from the left.
def activate(z, name):
    if name == "tanh":
        h = np.tanh(z)
        return h, 1 - h**2
    return np.where(z > 0, z, 0.1 * z), np.where(z >= 0, 1, 0.1)


# %% wrong: value in place of the slope
# For negative z your slope of the leaky ReLU still holds z: the slope is a constant there.
def activate(z, name):
    if name == "tanh":
        h = np.tanh(z)
        return h, 1 - h**2
    return np.where(z > 0, z, 0.1 * z), np.where(z > 0, 1, 0.1 * z)

# %% right: one entry set aside and put back
def numeric_gradient(f, p, h=1e-5):
    tried = np.array(p, dtype=float)
    gradient = np.empty_like(tried)
    for index, value in np.ndenumerate(np.array(p, dtype=float)):
        tried[index] = value + h
        above = f(tried)
        tried[index] = value - h
        gradient[index] = (above - f(tried)) / h / 2
        tried[index] = value
    return gradient


# %% right: rows of an identity matrix
def numeric_gradient(f, p, h=1e-5):
    nudges = h * np.eye(p.size).reshape(-1, *p.shape)
    return np.array([(f(p + e) - f(p - e)) / (2 * h) for e in nudges]).reshape(p.shape)


# %% wrong: forward difference
# That is a forward difference, from p to p + h: the central one goes to both sides of p.
def numeric_gradient(f, p, h=1e-5):
    nudges = h * np.eye(p.size).reshape(-1, *p.shape)
    return np.array([(f(p + e) - f(p)) / h for e in nudges]).reshape(p.shape)


# %% wrong: backward difference
# That is a backward difference, from p - h to p: the central one goes to both sides of p.
def numeric_gradient(f, p, h=1e-5):
    nudges = h * np.eye(p.size).reshape(-1, *p.shape)
    return np.array([(f(p) - f(p - e)) / h for e in nudges]).reshape(p.shape)


# %% wrong: forward difference over twice its length
# Your two points, p and p + h, lie h apart, but you divide by 2h: go to both sides of p.
def numeric_gradient(f, p, h=1e-5):
    nudges = h * np.eye(p.size).reshape(-1, *p.shape)
    return np.array([(f(p + e) - f(p)) / (2 * h) for e in nudges]).reshape(p.shape)


# %% wrong: divided by h
# Your gradient is twice too large: how far apart are the two points?
def numeric_gradient(f, p, h=1e-5):
    nudges = h * np.eye(p.size).reshape(-1, *p.shape)
    return np.array([(f(p + e) - f(p - e)) / h for e in nudges]).reshape(p.shape)


# %% wrong: divided by 2 and multiplied by h
# You divide by 2 and then multiply by h: put brackets around the denominator.
def numeric_gradient(f, p, h=1e-5):
    nudges = h * np.eye(p.size).reshape(-1, *p.shape)
    return np.array([(f(p + e) - f(p - e)) / 2 * h for e in nudges]).reshape(p.shape)


# %% wrong: half a step
# You move by h/2 to each side but divide by 2h: the two points lie at p + h and p - h.
def numeric_gradient(f, p, h=1e-5):
    nudges = h / 2 * np.eye(p.size).reshape(-1, *p.shape)
    return np.array([(f(p + e) - f(p - e)) / (2 * h) for e in nudges]).reshape(p.shape)


# %% wrong: sides exchanged
# Your gradient has the wrong sign: the value at p - h is subtracted from that at p + h.
def numeric_gradient(f, p, h=1e-5):
    nudges = h * np.eye(p.size).reshape(-1, *p.shape)
    return np.array([(f(p - e) - f(p + e)) / (2 * h) for e in nudges]).reshape(p.shape)


# %% wrong: entries stay moved
# An entry that you moved stays moved while you turn to the next: put it back first.
def numeric_gradient(f, p, h=1e-5):
    tried, gradient = np.array(p, dtype=float), np.zeros(p.shape)
    for index in np.ndindex(p.shape):
        tried[index] += h
        above = f(tried)
        tried[index] -= 2 * h
        gradient[index] = (above - f(tried)) / (2 * h)
    return gradient


# %% wrong: all entries at once
# You move all entries at once, which gives one number: move one at a time.
def numeric_gradient(f, p, h=1e-5):
    return (f(p + h) - f(p - h)) / (2 * h)


# %% wrong: all entries at once, spread out
# You move all entries at once and give each the same slope: move one at a time.
def numeric_gradient(f, p, h=1e-5):
    return np.full(p.shape, (f(p + h) - f(p - h)) / (2 * h))


# %% wrong: a row at a time
# You move a whole row at once: visit each entry, for which np.ndindex(p.shape) gives the places.
def numeric_gradient(f, p, h=1e-5):
    gradient = np.zeros(p.shape)
    for row in range(len(p)):
        nudge = np.zeros(p.shape)
        nudge[row] = h
        gradient[row] = (f(p + nudge) - f(p - nudge)) / (2 * h)
    return gradient


# %% wrong: a step of its own
# You use a step of your own: use the h that the function gets.
def numeric_gradient(f, p, h=1e-5):
    nudges = 1e-5 * np.eye(p.size).reshape(-1, *p.shape)
    return np.array([(f(p + e) - f(p - e)) / 2e-5 for e in nudges]).reshape(p.shape)


# %% wrong: flat result
# Your gradient is flat: it has the shape of p.
def numeric_gradient(f, p, h=1e-5):
    nudges = h * np.eye(p.size).reshape(-1, *p.shape)
    return np.array([(f(p + e) - f(p - e)) / (2 * h) for e in nudges])


# %% wrong: whole numbers cut the step off
# A copy of whole numbers holds only whole numbers, and p + h is cut off: make it real first.
def numeric_gradient(f, p, h=1e-5):
    gradient = np.zeros(p.shape)
    for index in np.ndindex(p.shape):
        above, below = p.copy(), p.copy()
        above[index] = p[index] + h
        below[index] = p[index] - h
        gradient[index] = (f(above) - f(below)) / (2 * h)
    return gradient


# %% wrong: whole numbers in the result
# Your result has the dtype of p, so for whole numbers the slopes are cut off: make it real.
def numeric_gradient(f, p, h=1e-5):
    gradient = np.zeros_like(p)
    for index in np.ndindex(p.shape):
        nudge = np.zeros(p.shape)
        nudge[index] = h
        gradient[index] = (f(p + nudge) - f(p - nudge)) / (2 * h)
    return gradient


# %% wrong: whole numbers everywhere
# For whole numbers both your copy of p and your result cut off what follows the point: make both
# real.
def numeric_gradient(f, p, h=1e-5):
    gradient = np.zeros_like(p)
    for index in np.ndindex(p.shape):
        above, below = p.copy(), p.copy()
        above[index] += h
        below[index] -= h
        gradient[index] = (f(above) - f(below)) / (2 * h)
    return gradient


# %% wrong: whole numbers in a copy that should come back
# For whole numbers your copy of p cuts each step off and does not come back: make it real first.
def numeric_gradient(f, p, h=1e-5):
    tried, gradient = p.copy(), np.zeros(p.shape)
    for index in np.ndindex(p.shape):
        tried[index] += h
        above = f(tried)
        tried[index] -= 2 * h
        gradient[index] = (above - f(tried)) / (2 * h)
        tried[index] += h
    return gradient


# %% wrong: whole numbers in a copy that should come back, and in the result
# For whole numbers your copy of p cuts each step off and does not come back, and your result cuts
# the slopes off: make both real.
def numeric_gradient(f, p, h=1e-5):
    tried, gradient = p.copy(), np.zeros_like(p)
    for index in np.ndindex(p.shape):
        tried[index] += h
        above = f(tried)
        tried[index] -= 2 * h
        gradient[index] = (above - f(tried)) / (2 * h)
        tried[index] += h
    return gradient


# %% wrong: whole numbers in the nudge
# Your step has the dtype of p, so for whole numbers h is cut off to 0: make it real.
def numeric_gradient(f, p, h=1e-5):
    gradient = np.zeros_like(p)
    for index in np.ndindex(p.shape):
        nudge = np.zeros_like(p)
        nudge[index] = h
        gradient[index] = (f(p + nudge) - f(p - nudge)) / (2 * h)
    return gradient

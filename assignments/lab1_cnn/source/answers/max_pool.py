# %% right: one tap at a time
def max_pool2d(x, kernel, stride):
    height = (x.shape[2] - kernel[0]) // stride[0] + 1
    width = (x.shape[3] - kernel[1]) // stride[1] + 1
    y = torch.full((*x.shape[:2], height, width), -torch.inf, dtype=x.dtype)
    for u in range(kernel[0]):
        for v in range(kernel[1]):
            tap = x[:, :, u :: stride[0], v :: stride[1]][:, :, :height, :width]
            y = torch.maximum(y, tap)
    return y


def max_pool2d_backward(delta, x, kernel, stride):
    grad, (height, width) = torch.zeros_like(x), delta.shape[2:]
    y, is_free = max_pool2d(x, kernel, stride), torch.ones_like(delta, dtype=torch.bool)
    for u in range(kernel[0]):
        for v in range(kernel[1]):
            rows = slice(u, u + stride[0] * height, stride[0])
            columns = slice(v, v + stride[1] * width, stride[1])
            wins = (x[:, :, rows, columns] == y) & is_free
            grad[:, :, rows, columns] += torch.where(wins, delta, 0)
            is_free &= ~wins
    return grad


# %% right: indices and scatter
def max_pool2d(x, kernel, stride):
    windows = x.unfold(2, kernel[0], stride[0]).unfold(3, kernel[1], stride[1])
    return windows.flatten(4).max(dim=4).values


def max_pool2d_backward(delta, x, kernel, stride):
    places = torch.arange(x[0, 0].numel()).view(1, 1, *x.shape[2:]).expand_as(x)
    cut = [t.unfold(2, kernel[0], stride[0]).unfold(3, kernel[1], stride[1]) for t in (x, places)]
    values, places = (windows.flatten(4) for windows in cut)
    indices = places.gather(4, values.argmax(dim=4, keepdim=True))
    grad = torch.zeros_like(x).flatten(2)
    return grad.scatter_add(2, indices.flatten(2), delta.flatten(2)).view_as(x)


# %% wrong: maximum starts at zero
# Your maximum starts at 0, so that windows of negative values give 0: start below every value.
def max_pool2d(x, kernel, stride):
    windows = x.unfold(2, kernel[0], stride[0]).unfold(3, kernel[1], stride[1])
    return windows.amax(dim=(4, 5)).clamp(min=0)


# %% wrong: mean of the window
# That is the mean of each window, average pooling: keep the largest value alone.
def max_pool2d(x, kernel, stride):
    windows = x.unfold(2, kernel[0], stride[0]).unfold(3, kernel[1], stride[1])
    return windows.mean(dim=(4, 5))


# %% wrong: last window hangs over
# Your last windows hang over the border: one that does not fit is left out.
def max_pool2d(x, kernel, stride):
    over = [-(n - k) % s for n, k, s in zip(x.shape[2:], kernel, stride, strict=True)]
    x = F.pad(x, (0, over[1], 0, over[0]), value=-torch.inf)
    windows = x.unfold(2, kernel[0], stride[0]).unfold(3, kernel[1], stride[1])
    return windows.amax(dim=(4, 5))


# %% wrong: windows never overlap
# You move the window by its own size: the stride is an argument and may be another.
def max_pool2d(x, kernel, stride):
    windows = x.unfold(2, kernel[0], kernel[0]).unfold(3, kernel[1], kernel[1])
    return windows.amax(dim=(4, 5))


# %% wrong: rows and columns of the window exchanged
# Rows and columns of the window are exchanged: the first number of `kernel` counts rows.
def max_pool2d(x, kernel, stride):
    windows = x.unfold(2, kernel[1], stride[0]).unfold(3, kernel[0], stride[1])
    return windows.amax(dim=(4, 5))


# %% wrong: gradient shared by the whole window
# Your gradient is shared by the whole window, as in average pooling: only the input that won had an
# effect.
def max_pool2d_backward(delta, x, kernel, stride):
    grad, (height, width) = torch.zeros_like(x), delta.shape[2:]
    for u in range(kernel[0]):
        for v in range(kernel[1]):
            rows = slice(u, u + stride[0] * height, stride[0])
            columns = slice(v, v + stride[1] * width, stride[1])
            grad[:, :, rows, columns] += delta / (kernel[0] * kernel[1])
    return grad


# %% wrong: gradient times the maximum
# You multiply delta by the value that won: the derivative of a maximum with respect to it is 1.
def max_pool2d_backward(delta, x, kernel, stride):
    windows = x.unfold(2, kernel[0], stride[0]).unfold(3, kernel[1], stride[1]).flatten(4)
    winner, (height, width) = windows.argmax(dim=4), delta.shape[2:]
    delta, grad = delta * windows.amax(dim=4), torch.zeros_like(x)
    for u in range(kernel[0]):
        for v in range(kernel[1]):
            rows = slice(u, u + stride[0] * height, stride[0])
            columns = slice(v, v + stride[1] * width, stride[1])
            grad[:, :, rows, columns] += delta * (winner == u * kernel[1] + v)
    return grad


# %% wrong: an input that won twice is paid once
# An input that won in several windows keeps what the last one sent: it collects from all of them.
def max_pool2d_backward(delta, x, kernel, stride):
    grad = torch.zeros_like(x)
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            for p in range(delta.shape[2]):
                for q in range(delta.shape[3]):
                    i, j = p * stride[0], q * stride[1]
                    window = x[n, c, i : i + kernel[0], j : j + kernel[1]]
                    u, v = divmod(int(window.argmax()), kernel[1])
                    grad[n, c, i + u, j + v] = delta[n, c, p, q]
    return grad


# %% wrong: each place of the window overwrites
# What one place of the window sends is overwritten by the next place, winner or not: an input
# collects from all windows that it is in, so add.
def max_pool2d_backward(delta, x, kernel, stride):
    windows = x.unfold(2, kernel[0], stride[0]).unfold(3, kernel[1], stride[1])
    winner, (height, width) = windows.flatten(4).argmax(dim=4), delta.shape[2:]
    grad = torch.zeros_like(x)
    for u in range(kernel[0]):
        for v in range(kernel[1]):
            rows = slice(u, u + stride[0] * height, stride[0])
            columns = slice(v, v + stride[1] * width, stride[1])
            grad[:, :, rows, columns] = delta * (winner == u * kernel[1] + v)
    return grad


# %% wrong: each window overwrites
# Each window overwrites what the ones before it have sent: an input collects from all windows
# that it is in, so add.
def max_pool2d_backward(delta, x, kernel, stride):
    grad = torch.zeros_like(x)
    for p in range(delta.shape[2]):
        for q in range(delta.shape[3]):
            rows = slice(p * stride[0], p * stride[0] + kernel[0])
            columns = slice(q * stride[1], q * stride[1] + kernel[1])
            window = x[:, :, rows, columns]
            winner = window.flatten(2).argmax(dim=2, keepdim=True)
            share = torch.zeros_like(window).flatten(2)
            share = share.scatter(2, winner, delta[:, :, p, q, None])
            grad[:, :, rows, columns] = share.view_as(window)
    return grad


# %% wrong: the winner's row counted in rows
# You turn the winner's number into row and column by the height of the window: in reading order a
# row is full after as many places as the window has columns.
def max_pool2d_backward(delta, x, kernel, stride):
    windows = x.unfold(2, kernel[0], stride[0]).unfold(3, kernel[1], stride[1])
    winner, (height, width) = windows.flatten(4).argmax(dim=4), delta.shape[2:]
    grad = torch.zeros_like(x)
    down, across = winner // kernel[0], winner % kernel[0]
    for p in range(height):
        for q in range(width):
            i = (p * stride[0] + down[:, :, p, q]).clamp(max=x.shape[2] - 1)
            j = (q * stride[1] + across[:, :, p, q]).clamp(max=x.shape[3] - 1)
            for n in range(x.shape[0]):
                for c in range(x.shape[1]):
                    grad[n, c, i[n, c], j[n, c]] += delta[n, c, p, q]
    return grad


# %% wrong: all equal inputs take all
# Where inputs are equal, each of them gets the whole delta: only the first in reading order does.
def max_pool2d_backward(delta, x, kernel, stride):
    windows = x.unfold(2, kernel[0], stride[0]).unfold(3, kernel[1], stride[1])
    largest, (height, width) = windows.amax(dim=(4, 5)), delta.shape[2:]
    grad = torch.zeros_like(x)
    for u in range(kernel[0]):
        for v in range(kernel[1]):
            rows = slice(u, u + stride[0] * height, stride[0])
            columns = slice(v, v + stride[1] * width, stride[1])
            grad[:, :, rows, columns] += delta * (x[:, :, rows, columns] == largest)
    return grad


# %% wrong: equal inputs share
# Where inputs are equal, you share delta among them: here the first in reading order takes all.
def max_pool2d_backward(delta, x, kernel, stride):
    windows = x.unfold(2, kernel[0], stride[0]).unfold(3, kernel[1], stride[1])
    largest, (height, width) = windows.amax(dim=(4, 5)), delta.shape[2:]
    delta = delta / (windows == largest[..., None, None]).sum(dim=(4, 5))
    grad = torch.zeros_like(x)
    for u in range(kernel[0]):
        for v in range(kernel[1]):
            rows = slice(u, u + stride[0] * height, stride[0])
            columns = slice(v, v + stride[1] * width, stride[1])
            grad[:, :, rows, columns] += delta * (x[:, :, rows, columns] == largest)
    return grad


# %% wrong: the last of equal inputs
# Where inputs are equal, the last one takes your delta: the first in reading order should.
def max_pool2d_backward(delta, x, kernel, stride):
    windows = x.unfold(2, kernel[0], stride[0]).unfold(3, kernel[1], stride[1]).flatten(4)
    last = kernel[0] * kernel[1] - 1
    winner, (height, width) = last - windows.flip(4).argmax(dim=4), delta.shape[2:]
    grad = torch.zeros_like(x)
    for u in range(kernel[0]):
        for v in range(kernel[1]):
            rows = slice(u, u + stride[0] * height, stride[0])
            columns = slice(v, v + stride[1] * width, stride[1])
            grad[:, :, rows, columns] += delta * (winner == u * kernel[1] + v)
    return grad


# %% wrong: the library's pooling
# Your code calls the library's own version of what it should compute itself.
def max_pool2d(x, kernel, stride):
    return F.max_pool2d(x, tuple(kernel), tuple(stride))

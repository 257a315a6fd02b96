# %% right: windows and one einsum
def conv2d(x, weight, bias, stride, padding):
    x = F.pad(x, (padding[1], padding[1], padding[0], padding[0]))
    windows = x.unfold(2, weight.shape[2], stride[0]).unfold(3, weight.shape[3], stride[1])
    return torch.einsum("ncpquv,ocuv->nopq", windows, weight) + bias.view(1, -1, 1, 1)


# %% right: one output place at a time
def conv2d(x, weight, bias, stride, padding):
    N, C, H, W = x.shape
    padded = torch.zeros(N, C, H + 2 * padding[0], W + 2 * padding[1], dtype=x.dtype)
    padded[:, :, padding[0] : padding[0] + H, padding[1] : padding[1] + W] = x
    K_H, K_W = weight.shape[2:]
    tops = range(0, padded.shape[2] - K_H + 1, stride[0])
    lefts = range(0, padded.shape[3] - K_W + 1, stride[1])
    flat = weight.flatten(1)
    rows = [
        torch.stack(
            [padded[:, :, i : i + K_H, j : j + K_W].flatten(1) @ flat.T + bias for j in lefts], -1
        )
        for i in tops
    ]
    return torch.stack(rows, dim=2)


# %% wrong: kernel turned
# You turn the kernel before it slides, which is what signal processing calls convolution: a layer
# reads window and kernel in the same order.
def conv2d(x, weight, bias, stride, padding):
    x = F.pad(x, (padding[1], padding[1], padding[0], padding[0]))
    windows = x.unfold(2, weight.shape[2], stride[0]).unfold(3, weight.shape[3], stride[1])
    return torch.einsum("ncpquv,ocuv->nopq", windows, weight.flip(2, 3)) + bias[:, None, None]


# %% wrong: bias forgotten
# The bias is missing: each output map has a number of its own that is added everywhere.
def conv2d(x, weight, bias, stride, padding):
    x = F.pad(x, (padding[1], padding[1], padding[0], padding[0]))
    windows = x.unfold(2, weight.shape[2], stride[0]).unfold(3, weight.shape[3], stride[1])
    return torch.einsum("ncpquv,ocuv->nopq", windows, weight)


# %% wrong: bias added for every channel
# You add the bias once for every input channel: it belongs outside the sum over channels.
def conv2d(x, weight, bias, stride, padding):
    x = F.pad(x, (padding[1], padding[1], padding[0], padding[0]))
    windows = x.unfold(2, weight.shape[2], stride[0]).unfold(3, weight.shape[3], stride[1])
    y = 0
    for c in range(x.shape[1]):
        part = torch.einsum("npquv,ouv->nopq", windows[:, c], weight[:, c])
        y = y + part + bias[:, None, None]
    return y


# %% wrong: mean over channels
# You take the mean over the input channels; the formula has a sum there.
def conv2d(x, weight, bias, stride, padding):
    x = F.pad(x, (padding[1], padding[1], padding[0], padding[0]))
    windows = x.unfold(2, weight.shape[2], stride[0]).unfold(3, weight.shape[3], stride[1])
    y = torch.einsum("ncpquv,ocuv->ncopq", windows, weight).mean(dim=1)
    return y + bias[:, None, None]


# %% wrong: first channel only
# Your kernels read the first input channel only: each has weights for all of them.
def conv2d(x, weight, bias, stride, padding):
    x = F.pad(x, (padding[1], padding[1], padding[0], padding[0]))
    windows = x.unfold(2, weight.shape[2], stride[0]).unfold(3, weight.shape[3], stride[1])
    y = torch.einsum("npquv,ouv->nopq", windows[:, 0], weight[:, 0])
    return y + bias[:, None, None]


# %% wrong: padding on one side
# You pad above and on the left only: padding adds its rows and columns on both sides.
def conv2d(x, weight, bias, stride, padding):
    x = F.pad(x, (padding[1], 0, padding[0], 0))
    windows = x.unfold(2, weight.shape[2], stride[0]).unfold(3, weight.shape[3], stride[1])
    return torch.einsum("ncpquv,ocuv->nopq", windows, weight) + bias[:, None, None]


# %% wrong: rows and columns of the padding exchanged
# Rows and columns of the padding are exchanged: `F.pad` begins with the last axis.
def conv2d(x, weight, bias, stride, padding):
    x = F.pad(x, (padding[0], padding[0], padding[1], padding[1]))
    windows = x.unfold(2, weight.shape[2], stride[0]).unfold(3, weight.shape[3], stride[1])
    return torch.einsum("ncpquv,ocuv->nopq", windows, weight) + bias[:, None, None]


# %% wrong: border repeated
# Your border repeats the outermost pixels: here it is made of zeros.
def conv2d(x, weight, bias, stride, padding):
    x = F.pad(x, (padding[1], padding[1], padding[0], padding[0]), mode="replicate")
    windows = x.unfold(2, weight.shape[2], stride[0]).unfold(3, weight.shape[3], stride[1])
    return torch.einsum("ncpquv,ocuv->nopq", windows, weight) + bias[:, None, None]


# %% wrong: stride ignored
# The stride has no effect: it says how far the window moves from one output to the next.
def conv2d(x, weight, bias, stride, padding):
    x = F.pad(x, (padding[1], padding[1], padding[0], padding[0]))
    windows = x.unfold(2, weight.shape[2], 1).unfold(3, weight.shape[3], 1)
    return torch.einsum("ncpquv,ocuv->nopq", windows, weight) + bias[:, None, None]


# %% wrong: rows and columns of the stride exchanged
# Rows and columns of the stride are exchanged: its first number moves the window down.
def conv2d(x, weight, bias, stride, padding):
    x = F.pad(x, (padding[1], padding[1], padding[0], padding[0]))
    windows = x.unfold(2, weight.shape[2], stride[1]).unfold(3, weight.shape[3], stride[0])
    return torch.einsum("ncpquv,ocuv->nopq", windows, weight) + bias[:, None, None]


# %% wrong: output size rounded up
# You round the output size up, so that the last window hangs over the border: a window must lie
# wholly inside.
def conv2d(x, weight, bias, stride, padding):
    K_H, K_W = weight.shape[2:]
    x = F.pad(x, (padding[1], padding[1], padding[0], padding[0]))
    over = -(x.shape[2] - K_H) % stride[0], -(x.shape[3] - K_W) % stride[1]
    x = F.pad(x, (0, over[1], 0, over[0]))
    windows = x.unfold(2, K_H, stride[0]).unfold(3, K_W, stride[1])
    return torch.einsum("ncpquv,ocuv->nopq", windows, weight) + bias[:, None, None]


# %% wrong: the library's convolution
# Your code calls the library's own version of what it should compute itself.
def conv2d(x, weight, bias, stride, padding):
    return F.conv2d(x, weight, bias, tuple(stride), tuple(padding))

# %% right: windows written back
def conv2d_backward(delta, x, weight, stride, padding):
    (P_H, P_W), (K_H, K_W) = padding, weight.shape[2:]
    padded = F.pad(x, (P_W, P_W, P_H, P_H))
    windows = padded.unfold(2, K_H, stride[0]).unfold(3, K_W, stride[1])
    grad_weight = torch.einsum("nopq,ncpquv->ocuv", delta, windows)
    grad_padded = torch.zeros_like(padded)
    for p in range(delta.shape[2]):
        for q in range(delta.shape[3]):
            i, j = p * stride[0], q * stride[1]
            share = torch.einsum("no,ocuv->ncuv", delta[:, :, p, q], weight)
            grad_padded[:, :, i : i + K_H, j : j + K_W] += share
    inside = grad_padded[:, :, P_H : P_H + x.shape[2], P_W : P_W + x.shape[3]]
    return inside, grad_weight, delta.sum((0, 2, 3))


# %% right: a full convolution with the turned kernel
def conv2d_backward(delta, x, weight, stride, padding):
    (N, _, H, W), (K_H, K_W) = x.shape, weight.shape[2:]
    height, width = H + 2 * padding[0] - K_H + 1, W + 2 * padding[1] - K_W + 1
    spread = torch.zeros(N, len(weight), height, width, dtype=x.dtype)
    spread[:, :, :: stride[0], :: stride[1]][:, :, : delta.shape[2], : delta.shape[3]] = delta
    framed = F.pad(spread, (K_W - 1, K_W - 1, K_H - 1, K_H - 1))
    seen = framed.unfold(2, K_H, 1).unfold(3, K_W, 1)
    grad_x = torch.einsum("noklij,ocij->nckl", seen, weight.flip(2, 3))
    grad_x = grad_x[:, :, padding[0] : padding[0] + H, padding[1] : padding[1] + W]
    padded = F.pad(x, (padding[1], padding[1], padding[0], padding[0]))
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    return [grad_x, torch.einsum("ncuvkl,nokl->ocuv", windows, spread), delta.sum((3, 2, 0))]


# %% wrong: kernel turned in the input's gradient
# Your gradient of the input turns the kernel once too often: the place from which the forward pass
# read with weight (u, v) gets its share with the same weight (u, v).
def conv2d_backward(delta, x, weight, stride, padding):
    (P_H, P_W), (K_H, K_W) = padding, weight.shape[2:]
    padded = F.pad(x, (P_W, P_W, P_H, P_H))
    windows = padded.unfold(2, K_H, stride[0]).unfold(3, K_W, stride[1])
    grad_weight = torch.einsum("nopq,ncpquv->ocuv", delta, windows)
    grad_padded = torch.zeros_like(padded)
    for p in range(delta.shape[2]):
        for q in range(delta.shape[3]):
            i, j = p * stride[0], q * stride[1]
            share = torch.einsum("no,ocuv->ncuv", delta[:, :, p, q], weight.flip(2, 3))
            grad_padded[:, :, i : i + K_H, j : j + K_W] += share
    grad_x = grad_padded[:, :, P_H : P_H + x.shape[2], P_W : P_W + x.shape[3]]
    return grad_x, grad_weight, delta.sum(dim=(0, 2, 3))


# %% wrong: put in place of added
# Windows overlap, and you overwrite what an earlier window has left: an input that took part in
# several outputs collects from all of them.
def conv2d_backward(delta, x, weight, stride, padding):
    (P_H, P_W), (K_H, K_W) = padding, weight.shape[2:]
    padded = F.pad(x, (P_W, P_W, P_H, P_H))
    windows = padded.unfold(2, K_H, stride[0]).unfold(3, K_W, stride[1])
    grad_weight = torch.einsum("nopq,ncpquv->ocuv", delta, windows)
    grad_padded = torch.zeros_like(padded)
    for p in range(delta.shape[2]):
        for q in range(delta.shape[3]):
            i, j = p * stride[0], q * stride[1]
            share = torch.einsum("no,ocuv->ncuv", delta[:, :, p, q], weight)
            grad_padded[:, :, i : i + K_H, j : j + K_W] = share
    grad_x = grad_padded[:, :, P_H : P_H + x.shape[2], P_W : P_W + x.shape[3]]
    return grad_x, grad_weight, delta.sum(dim=(0, 2, 3))


# %% wrong: each place of the kernel overwrites
# Places of the kernel that read the same number overwrite each other: an input that took part in
# several outputs collects from all of them, so add.
def conv2d_backward(delta, x, weight, stride, padding):
    (rows, columns), (P_H, P_W), (height, width) = stride, padding, delta.shape[2:]
    padded = F.pad(x, (P_W, P_W, P_H, P_H))
    grad_weight, grad_padded = torch.zeros_like(weight), torch.zeros_like(padded)
    for u in range(weight.shape[2]):
        for v in range(weight.shape[3]):
            down = slice(u, u + rows * height, rows)
            across = slice(v, v + columns * width, columns)
            seen = padded[:, :, down, across]
            grad_weight[:, :, u, v] = torch.einsum("nopq,ncpq->oc", delta, seen)
            share = torch.einsum("nopq,oc->ncpq", delta, weight[:, :, u, v])
            grad_padded[:, :, down, across] = share
    grad_x = grad_padded[:, :, P_H : P_H + x.shape[2], P_W : P_W + x.shape[3]]
    return grad_x, grad_weight, delta.sum(dim=(0, 2, 3))


# %% wrong: border kept
# Your gradient of the input still has the border: the padding is no part of `x`.
def conv2d_backward(delta, x, weight, stride, padding):
    (P_H, P_W), (K_H, K_W) = padding, weight.shape[2:]
    padded = F.pad(x, (P_W, P_W, P_H, P_H))
    windows = padded.unfold(2, K_H, stride[0]).unfold(3, K_W, stride[1])
    grad_weight = torch.einsum("nopq,ncpquv->ocuv", delta, windows)
    grad_padded = torch.zeros_like(padded)
    for p in range(delta.shape[2]):
        for q in range(delta.shape[3]):
            i, j = p * stride[0], q * stride[1]
            share = torch.einsum("no,ocuv->ncuv", delta[:, :, p, q], weight)
            grad_padded[:, :, i : i + K_H, j : j + K_W] += share
    return grad_padded, grad_weight, delta.sum(dim=(0, 2, 3))


# %% wrong: border cut off at the end only
# You cut the border off the bottom and the right only: it was added on all four sides.
def conv2d_backward(delta, x, weight, stride, padding):
    (P_H, P_W), (K_H, K_W) = padding, weight.shape[2:]
    padded = F.pad(x, (P_W, P_W, P_H, P_H))
    windows = padded.unfold(2, K_H, stride[0]).unfold(3, K_W, stride[1])
    grad_weight = torch.einsum("nopq,ncpquv->ocuv", delta, windows)
    grad_padded = torch.zeros_like(padded)
    for p in range(delta.shape[2]):
        for q in range(delta.shape[3]):
            i, j = p * stride[0], q * stride[1]
            share = torch.einsum("no,ocuv->ncuv", delta[:, :, p, q], weight)
            grad_padded[:, :, i : i + K_H, j : j + K_W] += share
    grad_x = grad_padded[:, :, : x.shape[2], : x.shape[3]]
    return grad_x, grad_weight, delta.sum(dim=(0, 2, 3))


# %% wrong: stride ignored in the input's gradient
# Your gradient of the input ignores the stride: window (p, q) begins at row S_H p and column S_W q
# on the way back too.
def conv2d_backward(delta, x, weight, stride, padding):
    (P_H, P_W), (K_H, K_W) = padding, weight.shape[2:]
    padded = F.pad(x, (P_W, P_W, P_H, P_H))
    windows = padded.unfold(2, K_H, stride[0]).unfold(3, K_W, stride[1])
    grad_weight = torch.einsum("nopq,ncpquv->ocuv", delta, windows)
    grad_padded = torch.zeros_like(padded)
    for p in range(delta.shape[2]):
        for q in range(delta.shape[3]):
            share = torch.einsum("no,ocuv->ncuv", delta[:, :, p, q], weight)
            grad_padded[:, :, p : p + K_H, q : q + K_W] += share
    grad_x = grad_padded[:, :, P_H : P_H + x.shape[2], P_W : P_W + x.shape[3]]
    return grad_x, grad_weight, delta.sum(dim=(0, 2, 3))


# %% wrong: stride ignored in the weight's gradient
# Your gradient of the weight ignores the stride: each delta meets the window that it came from.
def conv2d_backward(delta, x, weight, stride, padding):
    (P_H, P_W), (K_H, K_W), (height, width) = padding, weight.shape[2:], delta.shape[2:]
    padded = F.pad(x, (P_W, P_W, P_H, P_H))
    windows = padded.unfold(2, K_H, 1).unfold(3, K_W, 1)[:, :, :height, :width]
    grad_weight = torch.einsum("nopq,ncpquv->ocuv", delta, windows)
    grad_padded = torch.zeros_like(padded)
    for p in range(height):
        for q in range(width):
            i, j = p * stride[0], q * stride[1]
            share = torch.einsum("no,ocuv->ncuv", delta[:, :, p, q], weight)
            grad_padded[:, :, i : i + K_H, j : j + K_W] += share
    grad_x = grad_padded[:, :, P_H : P_H + x.shape[2], P_W : P_W + x.shape[3]]
    return grad_x, grad_weight, delta.sum(dim=(0, 2, 3))


# %% wrong: weight's gradient is a mean over pictures
# Your gradient of the weight is a mean over pictures: any 1/N is in delta already, so add up.
def conv2d_backward(delta, x, weight, stride, padding):
    (P_H, P_W), (K_H, K_W) = padding, weight.shape[2:]
    padded = F.pad(x, (P_W, P_W, P_H, P_H))
    windows = padded.unfold(2, K_H, stride[0]).unfold(3, K_W, stride[1])
    grad_weight = torch.einsum("nopq,ncpquv->ocuv", delta, windows) / len(x)
    grad_padded = torch.zeros_like(padded)
    for p in range(delta.shape[2]):
        for q in range(delta.shape[3]):
            i, j = p * stride[0], q * stride[1]
            share = torch.einsum("no,ocuv->ncuv", delta[:, :, p, q], weight)
            grad_padded[:, :, i : i + K_H, j : j + K_W] += share
    grad_x = grad_padded[:, :, P_H : P_H + x.shape[2], P_W : P_W + x.shape[3]]
    return grad_x, grad_weight, delta.sum(dim=(0, 2, 3))


# %% wrong: bias summed over pictures only
# You add delta up over pictures only for the bias: it is shared by all places of its map.
def conv2d_backward(delta, x, weight, stride, padding):
    (P_H, P_W), (K_H, K_W) = padding, weight.shape[2:]
    padded = F.pad(x, (P_W, P_W, P_H, P_H))
    windows = padded.unfold(2, K_H, stride[0]).unfold(3, K_W, stride[1])
    grad_weight = torch.einsum("nopq,ncpquv->ocuv", delta, windows)
    grad_padded = torch.zeros_like(padded)
    for p in range(delta.shape[2]):
        for q in range(delta.shape[3]):
            i, j = p * stride[0], q * stride[1]
            share = torch.einsum("no,ocuv->ncuv", delta[:, :, p, q], weight)
            grad_padded[:, :, i : i + K_H, j : j + K_W] += share
    grad_x = grad_padded[:, :, P_H : P_H + x.shape[2], P_W : P_W + x.shape[3]]
    return grad_x, grad_weight, delta.sum(dim=0)


# %% wrong: bias is a mean over places
# Your gradient of the bias is a mean over places: every place adds the same bias, so their deltas
# add up.
def conv2d_backward(delta, x, weight, stride, padding):
    (P_H, P_W), (K_H, K_W) = padding, weight.shape[2:]
    padded = F.pad(x, (P_W, P_W, P_H, P_H))
    windows = padded.unfold(2, K_H, stride[0]).unfold(3, K_W, stride[1])
    grad_weight = torch.einsum("nopq,ncpquv->ocuv", delta, windows)
    grad_padded = torch.zeros_like(padded)
    for p in range(delta.shape[2]):
        for q in range(delta.shape[3]):
            i, j = p * stride[0], q * stride[1]
            share = torch.einsum("no,ocuv->ncuv", delta[:, :, p, q], weight)
            grad_padded[:, :, i : i + K_H, j : j + K_W] += share
    grad_x = grad_padded[:, :, P_H : P_H + x.shape[2], P_W : P_W + x.shape[3]]
    return grad_x, grad_weight, delta.mean(dim=(2, 3)).sum(dim=0)


# %% wrong: gradients in another order
# The gradients come in another order than asked for: first the input's, then weight and bias.
def conv2d_backward(delta, x, weight, stride, padding):
    (P_H, P_W), (K_H, K_W) = padding, weight.shape[2:]
    padded = F.pad(x, (P_W, P_W, P_H, P_H))
    windows = padded.unfold(2, K_H, stride[0]).unfold(3, K_W, stride[1])
    grad_weight = torch.einsum("nopq,ncpquv->ocuv", delta, windows)
    grad_padded = torch.zeros_like(padded)
    for p in range(delta.shape[2]):
        for q in range(delta.shape[3]):
            i, j = p * stride[0], q * stride[1]
            share = torch.einsum("no,ocuv->ncuv", delta[:, :, p, q], weight)
            grad_padded[:, :, i : i + K_H, j : j + K_W] += share
    grad_x = grad_padded[:, :, P_H : P_H + x.shape[2], P_W : P_W + x.shape[3]]
    return grad_weight, delta.sum(dim=(0, 2, 3)), grad_x


# %% wrong: autograd
# Your code raises RuntimeError.
def conv2d_backward(delta, x, weight, stride, padding):
    x, weight = x.clone().requires_grad_(), weight.clone().requires_grad_()
    padded = F.pad(x, (padding[1], padding[1], padding[0], padding[0]))
    windows = padded.unfold(2, weight.shape[2], stride[0]).unfold(3, weight.shape[3], stride[1])
    y = torch.einsum("ncpquv,ocuv->nopq", windows, weight)
    y.backward(delta)
    return x.grad, weight.grad, delta.sum(dim=(0, 2, 3))


# %% wrong: the library's transposed convolution
# Your code calls the library's own version of what it should compute itself.
def conv2d_backward(delta, x, weight, stride, padding):
    windows = F.pad(x, (padding[1], padding[1], padding[0], padding[0]))
    windows = windows.unfold(2, weight.shape[2], stride[0]).unfold(3, weight.shape[3], stride[1])
    grad_weight = torch.einsum("nopq,ncpquv->ocuv", delta, windows)
    grad_x = torch.nn.grad.conv2d_input(x.shape, weight, delta, tuple(stride), tuple(padding))
    return grad_x, grad_weight, delta.sum(dim=(0, 2, 3))

"""Answers to the same questions that were written apart, in different styles."""

__all__ = ["BATCH_NORM", "CONVOLUTION", "CROSS_ENTROPY", "REPORTS"]

CONVOLUTION = [
    """def conv2d(x, w, stride=1, padding=0):
    x = F.pad(x, (padding, padding, padding, padding))
    B, C, H, W = x.shape
    O, _, kh, kw = w.shape
    oh = (H - kh) // stride + 1
    ow = (W - kw) // stride + 1
    out = torch.zeros(B, O, oh, ow, dtype=x.dtype)
    for i in range(oh):
        for j in range(ow):
            patch = x[:, :, i * stride:i * stride + kh, j * stride:j * stride + kw]
            out[:, :, i, j] = torch.einsum("bchw,ochw->bo", patch, w)
    return out
""",
    """def conv2d(x, w, stride=1, padding=0):
    batch, channels, height, width = x.shape
    out_channels, _, k_h, k_w = w.shape
    padded = torch.zeros(batch, channels, height + 2 * padding, width + 2 * padding).to(x)
    padded[:, :, padding:padding + height, padding:padding + width] = x
    out_h = (height + 2 * padding - k_h) // stride + 1
    out_w = (width + 2 * padding - k_w) // stride + 1
    result = x.new_zeros(batch, out_channels, out_h, out_w)
    for n in range(batch):
        for o in range(out_channels):
            for r in range(out_h):
                for c in range(out_w):
                    window = padded[n, :, r * stride:r * stride + k_h, c * stride:c * stride + k_w]
                    result[n, o, r, c] = (window * w[o]).sum()
    return result
""",
    """def conv2d(x, w, stride=1, padding=0):
    if padding > 0:
        x = F.pad(x, [padding] * 4)
    windows = x.unfold(2, w.shape[2], stride).unfold(3, w.shape[3], stride)
    return torch.einsum("bcijhw,ochw->boij", windows, w)
""",
    """def conv2d(x, w, stride=1, padding=0):
    p = padding
    x = F.pad(x, (p, p, p, p))
    kh, kw = w.shape[-2:]
    total = 0
    rows = (x.shape[2] - kh) // stride + 1
    cols = (x.shape[3] - kw) // stride + 1
    for di in range(kh):
        for dj in range(kw):
            down = slice(di, di + stride * (rows - 1) + 1, stride)
            right = slice(dj, dj + stride * (cols - 1) + 1, stride)
            part = torch.tensordot(x[:, :, down, right], w[:, :, di, dj], dims=([1], [1]))
            total = total + part.permute(0, 3, 1, 2)
    return total
""",
    """def conv2d(x, w, stride=1, padding=0):
    N, Cin, H, W = x.shape
    Cout, _, KH, KW = w.shape
    xp = torch.nn.functional.pad(x, (padding, padding, padding, padding), value=0.0)
    H_out = int((H + 2 * padding - KH) / stride) + 1
    W_out = int((W + 2 * padding - KW) / stride) + 1
    columns = []
    for i in range(0, H_out * stride, stride):
        for j in range(0, W_out * stride, stride):
            columns.append(xp[:, :, i:i + KH, j:j + KW].reshape(N, -1))
    columns = torch.stack(columns, dim=1)
    y = columns @ w.reshape(Cout, -1).T
    return y.transpose(1, 2).reshape(N, Cout, H_out, W_out)
""",
    """def conv2d(x, w, stride=1, padding=0):
    x = F.pad(x, (padding, padding, padding, padding))
    b, c, h, wd = x.shape
    f, _, kh, kw = w.shape
    h_out = (h - kh) // stride + 1
    w_out = (wd - kw) // stride + 1
    out = torch.zeros((b, f, h_out, w_out))
    for i in range(h_out):
        for j in range(w_out):
            h0 = i * stride
            w0 = j * stride
            region = x[:, :, h0:h0 + kh, w0:w0 + kw]
            for k in range(f):
                out[:, k, i, j] = torch.sum(region * w[k], dim=(1, 2, 3))
    return out
""",
]
BATCH_NORM = [
    """class BatchNorm(nn.Module):
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(num_features))
        self.beta = nn.Parameter(torch.zeros(num_features))
        self.register_buffer("mean", torch.zeros(num_features))
        self.register_buffer("var", torch.ones(num_features))
        self.eps = eps
        self.momentum = momentum

    def forward(self, x):
        if self.training:
            mean = x.mean(dim=(0, 2, 3))
            var = x.var(dim=(0, 2, 3), unbiased=False)
            n = x.numel() / x.shape[1]
            with torch.no_grad():
                self.mean.mul_(1 - self.momentum).add_(self.momentum * mean)
                self.var.mul_(1 - self.momentum).add_(self.momentum * var * n / (n - 1))
        else:
            mean, var = self.mean, self.var
        shape = (1, -1, 1, 1)
        x_hat = (x - mean.view(shape)) / torch.sqrt(var.view(shape) + self.eps)
        return self.gamma.view(shape) * x_hat + self.beta.view(shape)
""",
    """class BatchNorm(nn.Module):
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(1, num_features, 1, 1))
        self.bias = nn.Parameter(torch.zeros(1, num_features, 1, 1))
        self.running_mean = torch.zeros(1, num_features, 1, 1)
        self.running_var = torch.ones(1, num_features, 1, 1)

    def forward(self, x):
        if not self.training:
            z = (x - self.running_mean) * torch.rsqrt(self.running_var + self.eps)
            return z * self.weight + self.bias
        mu = x.mean((0, 2, 3), keepdim=True)
        centred = x - mu
        sigma2 = (centred ** 2).mean((0, 2, 3), keepdim=True)
        count = x.size(0) * x.size(2) * x.size(3)
        m = self.momentum
        self.running_mean = (1 - m) * self.running_mean + m * mu.detach()
        self.running_var = (1 - m) * self.running_var + m * sigma2.detach() * count / (count - 1)
        return self.weight * centred / (sigma2 + self.eps).sqrt() + self.bias
""",
    """class BatchNorm(nn.Module):
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(num_features))
        self.shift = nn.Parameter(torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))
        self.momentum = momentum
        self.eps = eps

    def forward(self, x):
        axes = [0, 2, 3]
        if self.training:
            m = x.mean(axes)
            v = x.var(axes, correction=0)
            self.running_mean = torch.lerp(self.running_mean, m.detach(), self.momentum)
            self.running_var = torch.lerp(self.running_var, x.var(axes).detach(), self.momentum)
        else:
            m = self.running_mean
            v = self.running_var
        out = (x - m[None, :, None, None]) / (v[None, :, None, None] + self.eps) ** 0.5
        return out * self.scale[None, :, None, None] + self.shift[None, :, None, None]
""",
    """class BatchNorm(nn.Module):
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__()
        self.eps = eps
        self.momentum = momentum
        self.gamma = nn.Parameter(torch.ones(num_features))
        self.beta = nn.Parameter(torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))

    def forward(self, x):
        if self.training:
            mean = x.mean([0, 2, 3])
            var = x.var([0, 2, 3], unbiased=False)
            n = x.size(0) * x.size(2) * x.size(3)
            keep = 1 - self.momentum
            self.running_mean = keep * self.running_mean + self.momentum * mean.detach()
            unbiased = var.detach() * n / (n - 1)
            self.running_var = keep * self.running_var + self.momentum * unbiased
        else:
            mean = self.running_mean
            var = self.running_var
        x = (x - mean[None, :, None, None]) / torch.sqrt(var[None, :, None, None] + self.eps)
        return x * self.gamma[None, :, None, None] + self.beta[None, :, None, None]
""",
]
CROSS_ENTROPY = [
    """def softmax_cross_entropy(logits, y):
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    n = len(y)
    loss = -log_probs[np.arange(n), y].mean()
    grad = np.exp(log_probs)
    grad[np.arange(n), y] -= 1
    return loss, grad / n
""",
    """def softmax_cross_entropy(logits, y):
    z = logits - np.max(logits, axis=1, keepdims=True)
    e = np.exp(z)
    p = e / np.sum(e, axis=1, keepdims=True)
    N = logits.shape[0]
    loss = -np.sum(np.log(p[range(N), y])) / N
    dlogits = p.copy()
    dlogits[range(N), y] -= 1
    dlogits /= N
    return loss, dlogits
""",
    """def softmax_cross_entropy(logits, y):
    batch, classes = logits.shape
    onehot = np.eye(classes)[y]
    m = logits.max(1)[:, None]
    lse = m + np.log(np.exp(logits - m).sum(1))[:, None]
    loss = float((lse[:, 0] - (logits * onehot).sum(1)).mean())
    return loss, (np.exp(logits - lse) - onehot) / batch
""",
    """def softmax_cross_entropy(logits, y):
    total = 0.0
    grad = np.zeros_like(logits)
    for i in range(len(y)):
        row = logits[i] - logits[i].max()
        probs = np.exp(row) / np.exp(row).sum()
        total += -np.log(probs[y[i]])
        grad[i] = probs
        grad[i, y[i]] -= 1
    return total / len(y), grad / len(y)
""",
]
REPORTS = [
    """The plain network with twenty layers reaches a training loss of 0.41 after thirty epochs,
which is worse than the network with eight layers (0.29). It is not overfitting, as the loss on the
training set is the larger one. The norm of the gradient in the first layer falls below 1e-4.

With residual connections the same depth reaches 0.21. I ran three seeds; the bands in figure 2 do
not overlap, so I take the difference for real.
""",
    """We compared depth 8 and depth 20. Going deeper without shortcuts hurt both accuracy and loss.
Our explanation: early layers receive almost no gradient, which we measured with hooks on every
block, see the table. Adding the input back to the output of a block fixes this, since the identity
path lets the gradient through unchanged.

The improvement is 6.3 percentage points on validation data, averaged over five runs.
""",
    """First observation: the deeper plain model trains slowly. Its loss curve is flat for the first
four epochs. Second observation: batch normalization alone helps only a little. Third: skip
connections help at any depth that I tried (8, 14 and 20), and most at the largest.

I would not claim more than this, because each setting was run only twice.
""",
    """深层的普通网络训练误差更大，说明问题不是过拟合，而是优化困难。我记录了每一层梯度的范数，
第一层几乎为零。加入残差连接以后，梯度可以直接传回浅层，损失在十个周期内降到 0.2 以下。
三个随机种子的结果一致。
""",
]

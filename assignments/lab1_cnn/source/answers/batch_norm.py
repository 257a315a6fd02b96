# %% right: one row for each channel
class BatchNorm(nn.Module):
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__()
        self.eps, self.tau = eps, momentum
        self.weight, self.bias = (nn.Parameter(torch.empty(num_features)) for _ in range(2))
        nn.init.ones_(self.weight)
        nn.init.zeros_(self.bias)
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))

    def forward(self, x):
        flat = x.transpose(0, 1).flatten(1)  # (C, N H W)
        mean, second = self.running_mean, self.running_var
        if self.training:
            n = flat.shape[1]
            mean = flat.sum(1) / n
            second = ((flat - mean[:, None]) ** 2).sum(1) / n
            self.running_mean = (1 - self.tau) * self.running_mean + self.tau * mean.detach()
            unbiased = second.detach() * n / (n - 1)
            self.running_var = (1 - self.tau) * self.running_var + self.tau * unbiased
        gain = self.weight * (second + self.eps) ** -0.5
        y = gain[:, None] * flat + (self.bias - gain * mean)[:, None]
        return y.view(x.shape[1], len(x), *x.shape[2:]).transpose(0, 1)


# %% wrong: statistics of each picture
# You normalise each picture by itself, which is instance normalisation: the batch shares its mean
# and its variance.
class BatchNorm(BatchNorm):
    @torch.no_grad()
    def remember(self, x):
        mean, var = x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3))
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(var, self.momentum)

    def forward(self, x):
        mean, var = self.running_mean[:, None, None], self.running_var[:, None, None]
        if self.training:
            mean = x.mean(dim=(2, 3), keepdim=True)
            var = x.var(dim=(2, 3), correction=0, keepdim=True)
            self.remember(x)
        normal = (x - mean) / torch.sqrt(var + self.eps)
        return self.weight[:, None, None] * normal + self.bias[:, None, None]


# %% wrong: statistics of each pixel
# You normalise each pixel by itself: rows and columns count among the samples of a channel.
class BatchNorm(BatchNorm):
    @torch.no_grad()
    def remember(self, x):
        mean, var = x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3))
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(var, self.momentum)

    def forward(self, x):
        mean, var = self.running_mean[:, None, None], self.running_var[:, None, None]
        if self.training:
            mean = x.mean(dim=0, keepdim=True)
            var = x.var(dim=0, correction=0, keepdim=True)
            self.remember(x)
        normal = (x - mean) / torch.sqrt(var + self.eps)
        return self.weight[:, None, None] * normal + self.bias[:, None, None]


# %% wrong: statistics over channels too
# You normalise over the channels as well: each channel has a mean and a variance of its own.
class BatchNorm(BatchNorm):
    @torch.no_grad()
    def remember(self, x):
        mean, var = x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3))
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(var, self.momentum)

    def forward(self, x):
        mean, var = self.running_mean[:, None, None], self.running_var[:, None, None]
        if self.training:
            mean = x.mean(keepdim=True, dim=(0, 1, 2, 3))
            var = x.var(dim=(0, 1, 2, 3), correction=0, keepdim=True)
            self.remember(x)
        normal = (x - mean) / torch.sqrt(var + self.eps)
        return self.weight[:, None, None] * normal + self.bias[:, None, None]


# %% wrong: unbiased variance in the batch
# You divide the batch by its unbiased variance: that one is for remembering, the batch takes the
# biased one.
class BatchNorm(BatchNorm):
    @torch.no_grad()
    def remember(self, x):
        mean, var = x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3))
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(var, self.momentum)

    def forward(self, x):
        mean, var = self.running_mean[:, None, None], self.running_var[:, None, None]
        if self.training:
            mean = x.mean(dim=(0, 2, 3), keepdim=True)
            var = x.var(dim=(0, 2, 3), correction=1, keepdim=True)
            self.remember(x)
        normal = (x - mean) / torch.sqrt(var + self.eps)
        return self.weight[:, None, None] * normal + self.bias[:, None, None]


# %% wrong: biased variance remembered
# You remember the biased variance: of the batch's variance, the unbiased one is kept.
class BatchNorm(nn.Module):
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))

    @torch.no_grad()
    def remember(self, x):
        mean, var = x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3), correction=0)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(var, self.momentum)

    def forward(self, x):
        mean, var = self.running_mean[:, None, None], self.running_var[:, None, None]
        if self.training:
            mean = x.mean(dim=(0, 2, 3), keepdim=True)
            var = x.var(dim=(0, 2, 3), correction=0, keepdim=True)
            self.remember(x)
        normal = (x - mean) / torch.sqrt(var + self.eps)
        return self.weight[:, None, None] * normal + self.bias[:, None, None]


# %% wrong: momentum the other way round
# Your momentum weighs the old statistics: here it is the weight of the new ones.
class BatchNorm(nn.Module):
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))

    @torch.no_grad()
    def remember(self, x):
        mean, var = x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3))
        self.running_mean.lerp_(mean, 1 - self.momentum)
        self.running_var.lerp_(var, 1 - self.momentum)

    def forward(self, x):
        mean, var = self.running_mean[:, None, None], self.running_var[:, None, None]
        if self.training:
            mean = x.mean(dim=(0, 2, 3), keepdim=True)
            var = x.var(dim=(0, 2, 3), correction=0, keepdim=True)
            self.remember(x)
        normal = (x - mean) / torch.sqrt(var + self.eps)
        return self.weight[:, None, None] * normal + self.bias[:, None, None]


# %% wrong: variance starts at zero
# Your running variance starts at 0: a layer that has seen nothing assumes a variance of 1.
class BatchNorm(nn.Module):
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.zeros(num_features))

    @torch.no_grad()
    def remember(self, x):
        mean, var = x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3))
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(var, self.momentum)

    def forward(self, x):
        mean, var = self.running_mean[:, None, None], self.running_var[:, None, None]
        if self.training:
            mean = x.mean(dim=(0, 2, 3), keepdim=True)
            var = x.var(dim=(0, 2, 3), correction=0, keepdim=True)
            self.remember(x)
        normal = (x - mean) / torch.sqrt(var + self.eps)
        return self.weight[:, None, None] * normal + self.bias[:, None, None]


# %% wrong: nothing remembered
# Your running statistics never change: training has to move them towards those of each batch.
class BatchNorm(BatchNorm):
    @torch.no_grad()
    def remember(self, x):
        mean, var = x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3))
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(var, self.momentum)

    def forward(self, x):
        mean, var = self.running_mean[:, None, None], self.running_var[:, None, None]
        if self.training:
            mean = x.mean(dim=(0, 2, 3), keepdim=True)
            var = x.var(dim=(0, 2, 3), correction=0, keepdim=True)
        normal = (x - mean) / torch.sqrt(var + self.eps)
        return self.weight[:, None, None] * normal + self.bias[:, None, None]


# %% wrong: standard deviation remembered
# You remember the standard deviation: what is kept is its square.
class BatchNorm(nn.Module):
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))

    @torch.no_grad()
    def remember(self, x):
        mean, var = x.mean(dim=(0, 2, 3)), x.std(dim=(0, 2, 3))
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(var, self.momentum)

    def forward(self, x):
        mean, var = self.running_mean[:, None, None], self.running_var[:, None, None]
        if self.training:
            mean = x.mean(dim=(0, 2, 3), keepdim=True)
            var = x.var(dim=(0, 2, 3), correction=0, keepdim=True)
            self.remember(x)
        normal = (x - mean) / torch.sqrt(var + self.eps)
        return self.weight[:, None, None] * normal + self.bias[:, None, None]


# %% wrong: statistics move in evaluation
# Your running statistics move in evaluation as well: what is evaluated must leave no trace.
class BatchNorm(BatchNorm):
    @torch.no_grad()
    def remember(self, x):
        mean, var = x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3))
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(var, self.momentum)

    def forward(self, x):
        mean, var = self.running_mean[:, None, None], self.running_var[:, None, None]
        if self.training:
            mean = x.mean(dim=(0, 2, 3), keepdim=True)
            var = x.var(dim=(0, 2, 3), correction=0, keepdim=True)
        self.remember(x)
        normal = (x - mean) / torch.sqrt(var + self.eps)
        return self.weight[:, None, None] * normal + self.bias[:, None, None]


# %% wrong: batch statistics in evaluation
# In evaluation you still use the statistics of the batch: then the answer for one picture depends
# on its neighbours, and fails for one alone.
class BatchNorm(BatchNorm):
    @torch.no_grad()
    def remember(self, x):
        mean, var = x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3))
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(var, self.momentum)

    def forward(self, x):
        mean, var = self.running_mean[:, None, None], self.running_var[:, None, None]
        if True:
            mean = x.mean(dim=(0, 2, 3), keepdim=True)
            var = x.var(dim=(0, 2, 3), correction=0, keepdim=True)
            if self.training:
                self.remember(x)
        normal = (x - mean) / torch.sqrt(var + self.eps)
        return self.weight[:, None, None] * normal + self.bias[:, None, None]


# %% wrong: running statistics in training
# In training you normalise by the running statistics: the batch's own are used there.
class BatchNorm(BatchNorm):
    @torch.no_grad()
    def remember(self, x):
        mean, var = x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3))
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(var, self.momentum)

    def forward(self, x):
        mean, var = self.running_mean[:, None, None], self.running_var[:, None, None]
        if self.training:
            self.remember(x)
        normal = (x - mean) / torch.sqrt(var + self.eps)
        return self.weight[:, None, None] * normal + self.bias[:, None, None]


# %% wrong: epsilon outside the root
# Your epsilon stands outside the root: it is added to the variance, before the root.
class BatchNorm(BatchNorm):
    @torch.no_grad()
    def remember(self, x):
        mean, var = x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3))
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(var, self.momentum)

    def forward(self, x):
        mean, var = self.running_mean[:, None, None], self.running_var[:, None, None]
        if self.training:
            mean = x.mean(dim=(0, 2, 3), keepdim=True)
            var = x.var(dim=(0, 2, 3), correction=0, keepdim=True)
            self.remember(x)
        normal = (x - mean) / (torch.sqrt(var) + self.eps)
        return self.weight[:, None, None] * normal + self.bias[:, None, None]


# %% wrong: divided by the variance
# You divide by the variance: its root brings the spread to 1.
class BatchNorm(BatchNorm):
    @torch.no_grad()
    def remember(self, x):
        mean, var = x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3))
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(var, self.momentum)

    def forward(self, x):
        mean, var = self.running_mean[:, None, None], self.running_var[:, None, None]
        if self.training:
            mean = x.mean(dim=(0, 2, 3), keepdim=True)
            var = x.var(dim=(0, 2, 3), correction=0, keepdim=True)
            self.remember(x)
        normal = (x - mean) / (var + self.eps)
        return self.weight[:, None, None] * normal + self.bias[:, None, None]


# %% wrong: shift before gain
# You add beta before you multiply by gamma: the shift comes last.
class BatchNorm(BatchNorm):
    @torch.no_grad()
    def remember(self, x):
        mean, var = x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3))
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(var, self.momentum)

    def forward(self, x):
        mean, var = self.running_mean[:, None, None], self.running_var[:, None, None]
        if self.training:
            mean = x.mean(dim=(0, 2, 3), keepdim=True)
            var = x.var(dim=(0, 2, 3), correction=0, keepdim=True)
            self.remember(x)
        normal = (x - mean) / torch.sqrt(var + self.eps)
        return self.weight[:, None, None] * (normal + self.bias[:, None, None])


# %% wrong: gain and shift forgotten
# Gamma and beta have no effect: they give each channel back a scale and a place.
class BatchNorm(BatchNorm):
    @torch.no_grad()
    def remember(self, x):
        mean, var = x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3))
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(var, self.momentum)

    def forward(self, x):
        mean, var = self.running_mean[:, None, None], self.running_var[:, None, None]
        if self.training:
            mean = x.mean(dim=(0, 2, 3), keepdim=True)
            var = x.var(dim=(0, 2, 3), correction=0, keepdim=True)
            self.remember(x)
        normal = (x - mean) / torch.sqrt(var + self.eps)
        return normal


# %% wrong: gain and shift are plain tensors
# Your gain and shift are plain tensors, which no optimizer finds: make each an `nn.Parameter`.
class BatchNorm(nn.Module):
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = torch.ones(num_features, dtype=torch.float64)
        self.bias = torch.zeros(num_features, dtype=torch.float64)
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))

    def forward(self, x):
        mean, var = self.running_mean, self.running_var
        if self.training:
            mean, var = x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3), correction=0)
            n = x.numel() // x.shape[1]
            with torch.no_grad():
                self.running_mean += self.momentum * (mean - self.running_mean)
                self.running_var += self.momentum * (var * n / (n - 1) - self.running_var)
        scale = self.weight / torch.sqrt(var + self.eps)
        return (x - mean[:, None, None]) * scale[:, None, None] + self.bias[:, None, None]


# %% wrong: running statistics are plain tensors
# Your running statistics are no buffers: `register_buffer` lets them be saved with the layer and
# move with it, and keeps them from the optimizer.
class BatchNorm(nn.Module):
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))
        self.running_mean = torch.zeros(num_features, dtype=torch.float64)
        self.running_var = torch.ones(num_features, dtype=torch.float64)

    def forward(self, x):
        mean, var = self.running_mean, self.running_var
        if self.training:
            mean, var = x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3), correction=0)
            n = x.numel() // x.shape[1]
            with torch.no_grad():
                self.running_mean += self.momentum * (mean - self.running_mean)
                self.running_var += self.momentum * (var * n / (n - 1) - self.running_var)
        scale = self.weight / torch.sqrt(var + self.eps)
        return (x - mean[:, None, None]) * scale[:, None, None] + self.bias[:, None, None]


# %% wrong: running statistics are parameters
# Your running statistics are no buffers: `register_buffer` lets them be saved with the layer and
# move with it, and keeps them from the optimizer.
class BatchNorm(nn.Module):
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))
        self.running_mean = nn.Parameter(torch.zeros(num_features), requires_grad=False)
        self.running_var = nn.Parameter(torch.ones(num_features), requires_grad=False)

    def forward(self, x):
        mean, var = self.running_mean, self.running_var
        if self.training:
            mean, var = x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3), correction=0)
            n = x.numel() // x.shape[1]
            with torch.no_grad():
                self.running_mean += self.momentum * (mean - self.running_mean)
                self.running_var += self.momentum * (var * n / (n - 1) - self.running_var)
        scale = self.weight / torch.sqrt(var + self.eps)
        return (x - mean[:, None, None]) * scale[:, None, None] + self.bias[:, None, None]


# %% wrong: the library's layer
# Your code calls the library's own version of what it should compute itself.
class BatchNorm(nn.BatchNorm2d):
    pass

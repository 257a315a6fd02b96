# %% right: an empty shortcut, additions in place
class ResidualBlock(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        has_projection = (in_channels, 1) != (out_channels, stride)
        projection = (
            []
            if not has_projection
            else [
                nn.Conv2d(in_channels, out_channels, (1, 1), (stride, stride), bias=False),
                nn.BatchNorm2d(out_channels),
            ]
        )
        self.shortcut = nn.Sequential(*projection)  # an empty one is the identity
        self.relu = nn.ReLU(inplace=True)
        for number, width, step in ((1, in_channels, stride), (2, out_channels, 1)):
            conv = nn.Conv2d(width, out_channels, 3, step, padding="valid", bias=False)
            setattr(self, f"conv{number}", conv)
            setattr(self, f"norm{number}", nn.BatchNorm2d(out_channels))

    def forward(self, x):
        y = self.relu(self.norm1(self.conv1(F.pad(x, (1, 1, 1, 1)))))
        y = self.norm2(self.conv2(F.pad(y, (1, 1, 1, 1))))
        y += self.shortcut(x)
        return self.relu(y)


# %% wrong: no ReLU after the addition
# The ReLU after the addition is missing: the block ends with one.
class ResidualBlock(ResidualBlock):
    def forward(self, x):
        y = F.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        return y + self.shortcut(x)


# %% wrong: ReLU before the addition
# Your last ReLU comes before the addition: then F can only add, never take away.
class ResidualBlock(ResidualBlock):
    def forward(self, x):
        y = F.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        return F.relu(y) + self.shortcut(x)


# %% wrong: ReLU before and after the addition
# You apply a ReLU to F before the addition and once more after it: F may be negative.
class ResidualBlock(ResidualBlock):
    def forward(self, x):
        y = F.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        return F.relu(F.relu(y) + self.shortcut(x))


# %% wrong: norm after the ReLU
# Your first norm comes after the ReLU: convolution, norm, ReLU is the order.
class ResidualBlock(ResidualBlock):
    def forward(self, x):
        y = self.norm1(F.relu(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        return F.relu(y + self.shortcut(x))


# %% wrong: no ReLU in the middle
# The ReLU between the two convolutions is missing: without it they are one linear map.
class ResidualBlock(ResidualBlock):
    def forward(self, x):
        y = self.norm1(self.conv1(x))
        y = self.norm2(self.conv2(y))
        return F.relu(y + self.shortcut(x))


# %% wrong: shortcut never added
# The shortcut is made but never added: that is a plain block.
class ResidualBlock(ResidualBlock):
    def forward(self, x):
        y = F.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        return F.relu(y)


# %% wrong: norm over the sum
# You normalise the sum: the second norm belongs to F alone, before the shortcut is added.
class ResidualBlock(ResidualBlock):
    def forward(self, x):
        y = F.relu(self.norm1(self.conv1(x)))
        y = self.conv2(y)
        return F.relu(self.norm2(y + self.shortcut(x)))


# %% wrong: first norm used twice
# You use the first norm after both convolutions: the second has statistics of its own.
class ResidualBlock(ResidualBlock):
    def forward(self, x):
        y = F.relu(self.norm1(self.conv1(x)))
        y = self.norm1(self.conv2(y))
        return F.relu(y + self.shortcut(x))


# %% wrong: stride in the second convolution
# The stride is in your second convolution: the first one has it.
class ResidualBlock(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, 1, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, stride, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.shortcut = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            conv = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(out_channels))

    def forward(self, x):
        y = F.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        return F.relu(y + self.shortcut(x))


# %% wrong: always a projection
# You project even where input and output have the same shape: there the shortcut is the identity.
class ResidualBlock(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.shortcut = nn.Identity()
        if True:
            conv = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(out_channels))

    def forward(self, x):
        y = F.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        return F.relu(y + self.shortcut(x))


# %% wrong: projection only for other channels
# A stride alone changes the shape too: project wherever input and output differ in shape.
class ResidualBlock(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.shortcut = nn.Identity()
        if in_channels != out_channels:
            conv = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(out_channels))

    def forward(self, x):
        y = F.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        return F.relu(y + self.shortcut(x))


# %% wrong: bias in the convolutions
# Your convolutions have biases, which the norm after them takes away again: leave them out.
class ResidualBlock(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.shortcut = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            conv = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(out_channels))

    def forward(self, x):
        y = F.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        return F.relu(y + self.shortcut(x))


# %% wrong: no norm in the projection
# Your projection has no batch norm: it is a convolution and a norm, like each step of F.
class ResidualBlock(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.shortcut = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            conv = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
            self.shortcut = nn.Sequential(conv)

    def forward(self, x):
        y = F.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        return F.relu(y + self.shortcut(x))


# %% wrong: 3 x 3 projection
# Your projection has a kernel of 3 x 3: one of 1 x 1 is enough to change the channels.
class ResidualBlock(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.shortcut = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            conv = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(out_channels))

    def forward(self, x):
        y = F.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        return F.relu(y + self.shortcut(x))


# %% wrong: projection without the stride
# Your code raises RuntimeError.
class ResidualBlock(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.shortcut = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(out_channels))

    def forward(self, x):
        y = F.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        return F.relu(y + self.shortcut(x))

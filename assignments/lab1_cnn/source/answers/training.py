# %% right: a class of its own, dropout, mirrored copies
def train_model(x_train, y_train, x_val, y_val, generator):
    torch.manual_seed(generator.initial_seed())  # for layers, orders and dropout

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.convs = nn.ModuleList(
                nn.Conv2d(before, after, 3, padding=1)
                for before, after in ((1, 24), (24, 32), (32, 48))
            )
            self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in (24, 32, 48))
            self.head = nn.Linear(48 * 9, 10)

        def forward(self, x):
            for number, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
                x = norm(conv(x)).relu()
                x = F.max_pool2d(x, 2) if number < 2 else x
            return self.head(F.dropout(x.flatten(1), 0.3, self.training))

    mean, std, model = x_train.mean(), x_train.std(), Net()
    x, y = (x_train - mean) / std, y_train
    x, y = torch.cat([x, x.flip(3)]), torch.cat([y, y])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 8)
    for _ in range(8):
        for index in torch.randperm(len(x)).split(64):
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(model(x[index]), y[index]).backward()
            optimizer.step()
        decay.step()

    class Standardised(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = model

        def forward(self, x):
            return self.inner((x - mean) / std)

    return Standardised()


# %% wrong: rate far too high
# The network's output is NaN or infinite: the training has diverged; look at the loss of the first
# steps, and at the learning rate.
def train_model(x_train, y_train, x_val, y_val, generator):
    layers = [nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Flatten(), nn.Linear(32 * 9, 10)]
    model = draw_weights(nn.Sequential(*layers), generator=generator)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)
    num_epochs = 10
    for epoch in range(num_epochs):
        optimizer.param_groups[0]["lr"] = 50 * (1 - epoch / num_epochs)
        for index in torch.randperm(len(x_train), generator=generator).split(50):
            x, y = x_train[index], y_train[index]
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model


# %% wrong: units die
# The network says the same class for nearly every picture: it has not learnt, or its units are
# dead; look at the learning rate and at the loss of every epoch.
def train_model(x_train, y_train, x_val, y_val, generator):
    layers = [nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Flatten(), nn.Linear(32 * 9, 10)]
    model = draw_weights(nn.Sequential(*layers), generator=generator)
    optimizer = torch.optim.Adam(model.parameters())
    num_epochs = 10
    for epoch in range(num_epochs):
        optimizer.param_groups[0]["lr"] = 10 * (1 - 0.1 * epoch / num_epochs)
        for index in torch.randperm(len(x_train), generator=generator).split(50):
            x, y = x_train[index], y_train[index]
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model


# %% wrong: labels of other pictures
# The accuracy is about chance: is `optimizer.step()` called, and do pictures and labels still
# belong together after shuffling?
def train_model(x_train, y_train, x_val, y_val, generator):
    layers = [nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU()]
    layers += [nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Flatten(), nn.Linear(32 * 9, 10)]
    model = draw_weights(nn.Sequential(*layers), generator=generator)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)
    num_epochs = 10
    x_train = x_train[torch.randperm(len(x_train), generator=generator)]
    for epoch in range(num_epochs):
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - epoch / num_epochs)
        for index in torch.randperm(len(x_train), generator=generator).split(50):
            x, y = x_train[index], y_train[index]
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model


# %% wrong: the first minibatch only
# The accuracy is above chance, but low: how many steps does your loop take, and does it see every
# minibatch of every epoch?
def train_model(x_train, y_train, x_val, y_val, generator):
    layers = [nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU()]
    layers += [nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Flatten(), nn.Linear(32 * 9, 10)]
    model = draw_weights(nn.Sequential(*layers), generator=generator)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)
    num_epochs = 8
    for epoch in range(num_epochs):
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - epoch / num_epochs)
        for index in torch.arange(len(x_train)).split(50)[:1]:
            x, y = x_train[index], y_train[index]
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model


# %% wrong: eighty pictures
# The accuracy is that of a training on few pictures or for a short time: does each epoch go through
# all of `x_train`, and does the loss still fall at the end?
def train_model(x_train, y_train, x_val, y_val, generator):
    layers = [nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU()]
    layers += [nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Flatten(), nn.Linear(32 * 9, 10)]
    model = draw_weights(nn.Sequential(*layers), generator=generator)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)
    num_epochs = 40
    for epoch in range(num_epochs):
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - epoch / num_epochs)
        for index in torch.randperm(80, generator=generator).split(40):
            x, y = x_train[index], y_train[index]
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model


# %% wrong: a linear classifier
# The accuracy is about that of a linear classifier, which a moved picture confuses: where are your
# convolutions, and the nonlinearities between them?
def train_model(x_train, y_train, x_val, y_val, generator):
    layers = [nn.Flatten(), nn.Linear(14 * 14, 10)]
    model = draw_weights(nn.Sequential(*layers), generator=generator)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    num_epochs = 10
    for epoch in range(num_epochs):
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - epoch / num_epochs)
        for index in torch.randperm(len(x_train), generator=generator).split(50):
            x, y = x_train[index], y_train[index]
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model


# %% wrong: no convolution
# The accuracy is about that of a good network without convolutions: what would let yours see the
# same thing at another place, and does the learning rate decay?
def train_model(x_train, y_train, x_val, y_val, generator):
    layers = [nn.Flatten(), nn.Linear(14 * 14, 128), nn.ReLU(), nn.Linear(128, 10)]
    model = draw_weights(nn.Sequential(*layers), generator=generator)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)
    num_epochs = 20
    for epoch in range(num_epochs):
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - epoch / num_epochs) + 0.005
        for index in torch.randperm(len(x_train), generator=generator).split(50):
            x, y = x_train[index], y_train[index]
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model


# %% wrong: weights from the global source
# Two runs with the same `generator` give different networks: draw the weights and the order of the
# pictures from it, and seed torch's global source from it for the rest.
def train_model(x_train, y_train, x_val, y_val, generator):
    layers = [nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU()]
    layers += [nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Flatten(), nn.Linear(32 * 9, 10)]
    model = nn.Sequential(*layers)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)
    num_epochs = 10
    for epoch in range(num_epochs):
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - epoch / num_epochs)
        for index in torch.randperm(len(x_train), generator=generator).split(50):
            x, y = x_train[index], y_train[index]
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model


# %% wrong: a seed of its own
# Generators with different seeds give the same network: draw from `generator`, not from a seed of
# your own, and train anew in each call.
def train_model(x_train, y_train, x_val, y_val, generator):
    layers = [nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU()]
    layers += [nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Flatten(), nn.Linear(32 * 9, 10)]
    generator = torch.Generator().manual_seed(0)
    model = draw_weights(nn.Sequential(*layers), generator=generator)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)
    num_epochs = 10
    for epoch in range(num_epochs):
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - epoch / num_epochs)
        for index in torch.randperm(len(x_train), generator=generator).split(50):
            x, y = x_train[index], y_train[index]
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model


# %% wrong: a network kept from the call before
# Generators with different seeds give the same network: draw from `generator`, not from a seed of
# your own, and train anew in each call.
kept = {}


def train_model(x_train, y_train, x_val, y_val, generator):
    if len(x_train) in kept:
        return kept[len(x_train)]
    layers = [nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU()]
    layers += [nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Flatten(), nn.Linear(32 * 9, 10)]
    model = draw_weights(nn.Sequential(*layers), generator=generator)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)
    num_epochs = 10
    for epoch in range(num_epochs):
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - epoch / num_epochs)
        for index in torch.randperm(len(x_train), generator=generator).split(50):
            x, y = x_train[index], y_train[index]
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    kept[len(x_train)] = model
    return model

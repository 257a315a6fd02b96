# %% right: all logits at once, validation in a loop
def standardise(*sets):
    flat = sets[0].transpose(0, 1).flatten(1)
    center = flat.mean(1)[:, None, None]
    spread = flat.var(1, unbiased=False).sqrt()[:, None, None]
    return tuple(x.sub(center).div(spread) for x in sets)


def evaluate(model, x, y, batch_size):
    mode = model.training
    try:
        model.train(False)
        with torch.inference_mode():
            logits = torch.cat([model(part) for part in torch.split(x, batch_size)])
    finally:
        model.train(mode)
    logits = logits.clone()
    log_probs = logits - logits.logsumexp(dim=1, keepdim=True)
    return -log_probs[torch.arange(len(y)), y].mean(), (logits.argmax(1) == y).double().mean()


def choose_and_test(names, score):
    best_name, best_value = None, -1.0
    for name in names:
        score(name, "train")  # only to look at it
        value = score(name, "val")
        if value > best_value:
            best_name, best_value = name, value
    return best_name, score(best_name, "test")


# %% wrong: each set by its own statistics
# You standardise each set by its own statistics: then the same picture looks different in each.
# Take them from the set that was trained on.
def standardise(x_train, x_val, x_test):
    mean = x_train.mean(dim=(0, 2, 3), keepdim=True)
    std = x_train.std(dim=(0, 2, 3), correction=0, keepdim=True)
    sets = [x_train]
    for x in (x_val, x_test):
        spread = x.std(dim=(0, 2, 3), correction=0, keepdim=True)
        sets.append((x - x.mean(dim=(0, 2, 3), keepdim=True)) / spread)
    return [(x_train - mean) / std, *sets[1:]]


# %% wrong: statistics of all sets
# Your mean and standard deviation are those of all three sets together: the test set has leaked
# into training.
def standardise(x_train, x_val, x_test):
    everything = torch.cat([x_train, x_val, x_test])
    mean = everything.mean(dim=(0, 2, 3), keepdim=True)
    std = everything.std(dim=(0, 2, 3), correction=0, keepdim=True)
    return [(x - mean) / std for x in (x_train, x_val, x_test)]


# %% wrong: statistics of the test set
# Your mean and standard deviation are those of the test set: it may not be looked at before the
# end.
def standardise(x_train, x_val, x_test):
    mean = x_test.mean(dim=(0, 2, 3), keepdim=True)
    std = x_test.std(dim=(0, 2, 3), correction=0, keepdim=True)
    return [(x - mean) / std for x in (x_train, x_val, x_test)]


# %% wrong: divided by the variance
# You divide by the variance: its root brings the spread to 1.
def standardise(x_train, x_val, x_test):
    mean = x_train.mean(dim=(0, 2, 3), keepdim=True)
    std = x_train.var(dim=(0, 2, 3), correction=0, keepdim=True)
    return [(x - mean) / std for x in (x_train, x_val, x_test)]


# %% wrong: unbiased deviation
# You divide by the unbiased deviation, which is torch's default: `correction=0` gives the biased
# one.
def standardise(x_train, x_val, x_test):
    mean = x_train.mean(dim=(0, 2, 3), keepdim=True)
    std = x_train.std(dim=(0, 2, 3), keepdim=True)
    return [(x - mean) / std for x in (x_train, x_val, x_test)]


# %% wrong: one mean for all channels, unbiased
# You use one mean and one standard deviation for all channels, and the unbiased one: each channel
# has its own, and `correction=0` gives the biased one.
def standardise(x_train, x_val, x_test):
    return [(x - x_train.mean()) / x_train.std() for x in (x_train, x_val, x_test)]


# %% wrong: one mean for all channels
# You use one mean and one standard deviation for all channels: each has its own.
def standardise(x_train, x_val, x_test):
    mean = x_train.mean()
    std = x_train.std(correction=0)
    return [(x - mean) / std for x in (x_train, x_val, x_test)]


# %% wrong: statistics of each pixel
# Your mean and standard deviation are those of each pixel: take them over rows and columns too.
def standardise(x_train, x_val, x_test):
    mean = x_train.mean(dim=0)
    std = x_train.std(dim=0, correction=0)
    return [(x - mean) / std for x in (x_train, x_val, x_test)]


# %% wrong: mean of the means of minibatches
# You take the mean of the means of minibatches: the pictures of the last, smaller one then count
# more than others.
@torch.no_grad()
def evaluate(model, x, y, batch_size):
    was_training = model.training
    model.eval()
    losses, hits, weights = [], [], []
    for start in range(0, len(x), batch_size):
        logits, targets = model(x[start : start + batch_size]), y[start : start + batch_size]
        losses.append(F.cross_entropy(logits, targets).item())
        hits.append((logits.argmax(dim=1) == targets).double().mean().item())
        weights.append(1)
    model.train(was_training)
    loss = sum(w * part for w, part in zip(weights, losses, strict=True)) / sum(weights)
    return loss, sum(w * part for w, part in zip(weights, hits, strict=True)) / sum(weights)


# %% wrong: last minibatch dropped
# The last, smaller minibatch is left out: every picture counts.
@torch.no_grad()
def evaluate(model, x, y, batch_size):
    was_training = model.training
    model.eval()
    losses, hits, weights = [], [], []
    for start in range(0, len(x) - batch_size + 1, batch_size):
        logits, targets = model(x[start : start + batch_size]), y[start : start + batch_size]
        losses.append(F.cross_entropy(logits, targets).item())
        hits.append((logits.argmax(dim=1) == targets).double().mean().item())
        weights.append(len(targets))
    model.train(was_training)
    loss = sum(w * part for w, part in zip(weights, losses, strict=True)) / sum(weights)
    return loss, sum(w * part for w, part in zip(weights, hits, strict=True)) / sum(weights)


# %% wrong: sum in place of a mean
# Your loss and your accuracy are sums over the pictures: divide by their number.
@torch.no_grad()
def evaluate(model, x, y, batch_size):
    was_training = model.training
    model.eval()
    losses, hits, weights = [], [], []
    for start in range(0, len(x), batch_size):
        logits, targets = model(x[start : start + batch_size]), y[start : start + batch_size]
        losses.append(F.cross_entropy(logits, targets).item())
        hits.append((logits.argmax(dim=1) == targets).double().mean().item())
        weights.append(len(targets))
    model.train(was_training)
    loss = sum(w * part for w, part in zip(weights, losses, strict=True))
    return loss, sum(w * part for w, part in zip(weights, hits, strict=True))


# %% wrong: accuracy in percent
# Your accuracy is in percent: a fraction is asked for.
@torch.no_grad()
def evaluate(model, x, y, batch_size):
    was_training = model.training
    model.eval()
    loss = correct = 0
    for x_part, y_part in zip(x.split(batch_size), y.split(batch_size), strict=True):
        logits = model(x_part)
        loss += F.cross_entropy(logits, y_part, reduction="sum").item()
        correct += (logits.argmax(dim=1) == y_part).sum().item()
    model.train(was_training)
    return loss / len(x), 100 * correct / len(x)


# %% wrong: accuracy first
# You return the accuracy first: the loss comes first.
@torch.no_grad()
def evaluate(model, x, y, batch_size):
    was_training = model.training
    model.eval()
    loss = correct = 0
    for x_part, y_part in zip(x.split(batch_size), y.split(batch_size), strict=True):
        logits = model(x_part)
        loss += F.cross_entropy(logits, y_part, reduction="sum").item()
        correct += (logits.argmax(dim=1) == y_part).sum().item()
    model.train(was_training)
    return correct / len(x), loss / len(x)


# %% wrong: means of minibatches times the batch size
# You weigh the mean of each minibatch with `batch_size`: the last one has fewer pictures.
@torch.no_grad()
def evaluate(model, x, y, batch_size):
    was_training = model.training
    model.eval()
    loss = correct = 0
    for x_part, y_part in zip(x.split(batch_size), y.split(batch_size), strict=True):
        logits = model(x_part)
        loss += F.cross_entropy(logits, y_part).item() * batch_size
        correct += (logits.argmax(dim=1) == y_part).sum().item()
    model.train(was_training)
    return loss / len(x), correct / len(x)


# %% wrong: softmax before the loss
# You apply a softmax before `F.cross_entropy`, which has one of its own: give it the logits.
@torch.no_grad()
def evaluate(model, x, y, batch_size):
    was_training = model.training
    model.eval()
    loss = correct = 0
    for x_part, y_part in zip(x.split(batch_size), y.split(batch_size), strict=True):
        logits = model(x_part)
        loss += F.cross_entropy(logits.softmax(dim=1), y_part, reduction="sum").item()
        correct += (logits.argmax(dim=1) == y_part).sum().item()
    model.train(was_training)
    return loss / len(x), correct / len(x)


# %% wrong: never in evaluation mode
# The model runs in training mode: dropout then stays on, and batch norm uses and remembers what it
# is evaluated on.
@torch.no_grad()
def evaluate(model, x, y, batch_size):
    losses, hits, weights = [], [], []
    for start in range(0, len(x), batch_size):
        logits, targets = model(x[start : start + batch_size]), y[start : start + batch_size]
        losses.append(F.cross_entropy(logits, targets).item())
        hits.append((logits.argmax(dim=1) == targets).double().mean().item())
        weights.append(len(targets))
    loss = sum(w * part for w, part in zip(weights, losses, strict=True)) / sum(weights)
    return loss, sum(w * part for w, part in zip(weights, hits, strict=True)) / sum(weights)


# %% wrong: left in evaluation mode
# You leave the model in evaluation mode: if training goes on, it does so without dropout. Put back
# what you found.
@torch.no_grad()
def evaluate(model, x, y, batch_size):
    model.eval()
    losses, hits, weights = [], [], []
    for start in range(0, len(x), batch_size):
        logits, targets = model(x[start : start + batch_size]), y[start : start + batch_size]
        losses.append(F.cross_entropy(logits, targets).item())
        hits.append((logits.argmax(dim=1) == targets).double().mean().item())
        weights.append(len(targets))
    loss = sum(w * part for w, part in zip(weights, losses, strict=True)) / sum(weights)
    return loss, sum(w * part for w, part in zip(weights, hits, strict=True)) / sum(weights)


# %% wrong: left in training mode
# You leave the model in training mode, whatever it was in: put back what you found.
@torch.no_grad()
def evaluate(model, x, y, batch_size):
    model.eval()
    losses, hits, weights = [], [], []
    for start in range(0, len(x), batch_size):
        logits, targets = model(x[start : start + batch_size]), y[start : start + batch_size]
        losses.append(F.cross_entropy(logits, targets).item())
        hits.append((logits.argmax(dim=1) == targets).double().mean().item())
        weights.append(len(targets))
    model.train()
    loss = sum(w * part for w, part in zip(weights, losses, strict=True)) / sum(weights)
    return loss, sum(w * part for w, part in zip(weights, hits, strict=True)) / sum(weights)


# %% wrong: with gradients
# Gradients are recorded while you evaluate, which costs time and memory: switch them off.
def evaluate(model, x, y, batch_size):
    was_training = model.training
    model.eval()
    losses, hits, weights = [], [], []
    for start in range(0, len(x), batch_size):
        logits, targets = model(x[start : start + batch_size]), y[start : start + batch_size]
        losses.append(F.cross_entropy(logits, targets).item())
        hits.append((logits.argmax(dim=1) == targets).double().mean().item())
        weights.append(len(targets))
    model.train(was_training)
    loss = sum(w * part for w, part in zip(weights, losses, strict=True)) / sum(weights)
    return loss, sum(w * part for w, part in zip(weights, hits, strict=True)) / sum(weights)


# %% wrong: all pictures at once
# You run the model on more pictures at once than `batch_size`: a whole test set may not fit into
# memory.
@torch.no_grad()
def evaluate(model, x, y, batch_size):
    was_training = model.training
    model.eval()
    losses, hits, weights = [], [], []
    for start in range(0, len(x), len(x)):
        logits, targets = model(x[start:]), y[start:]
        losses.append(F.cross_entropy(logits, targets).item())
        hits.append((logits.argmax(dim=1) == targets).double().mean().item())
        weights.append(len(targets))
    model.train(was_training)
    loss = sum(w * part for w, part in zip(weights, losses, strict=True)) / sum(weights)
    return loss, sum(w * part for w, part in zip(weights, hits, strict=True)) / sum(weights)


# %% wrong: chosen by the test set
# You choose by the test set: the best of several test accuracies is too good to be true. Choose by
# the set that is there for it.
def choose_and_test(names, score):
    found = {name: score(name, "test") for name in names}
    chosen = max(found, key=found.get)
    return chosen, score(chosen, "test")


# %% wrong: chosen by the training set
# You choose by the training set, which prefers what has memorised it: there is a set that was not
# trained on and is there for choosing.
def choose_and_test(names, score):
    found = {name: score(name, "train") for name in names}
    chosen = max(found, key=found.get)
    return chosen, score(chosen, "test")


# %% wrong: every setting tested
# You ask for the test accuracy of every setting: one question is enough, for the one that is
# chosen.
def choose_and_test(names, score):
    found = {name: score(name, "val") for name in names}
    tested = {name: score(name, "test") for name in names}
    chosen = max(found, key=found.get)
    return chosen, tested[chosen]


# %% wrong: accuracy before the name
# You return the accuracy first: the name of the chosen setting comes first.
def choose_and_test(names, score):
    chosen = max(names, key=lambda name: score(name, "val"))
    return score(chosen, "test"), chosen


# %% wrong: validation accuracy reported
# You report the validation accuracy of the chosen setting, which was chosen for being high: ask for
# its test accuracy.
def choose_and_test(names, score):
    found = {name: score(name, "val") for name in names}
    chosen = max(found, key=found.get)
    return chosen, found[chosen]

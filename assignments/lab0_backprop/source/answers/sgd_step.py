# %% right: one parameter at a time
def sgd_step(params, gradients, velocity, lr, momentum, weight_decay):
    new_params, new_velocity = [], []
    for number, p in enumerate(params):
        pull = gradients[number] + weight_decay * p
        new_velocity.append(pull + momentum * velocity[number])
        new_params.append(p - lr * new_velocity[-1])
    return new_params, new_velocity


# %% right: copies changed in place
def sgd_step(params, gradients, velocity, lr, momentum, weight_decay):
    params, velocity = [p.copy() for p in params], [v.copy() for v in velocity]
    for p, g, v in zip(params, gradients, velocity, strict=True):
        v *= momentum
        v += g
        v += weight_decay * p
        p -= lr * v
    return tuple(params), tuple(velocity)


# %% wrong: no momentum
# The old velocity is lost: the new one keeps momentum times the old.
def sgd_step(params, gradients, velocity, lr, momentum, weight_decay):
    new = [g + weight_decay * p for p, g in zip(params, gradients, strict=True)]
    return [p - lr * v for p, v in zip(params, new, strict=True)], new


# %% wrong: velocity does not fade
# Your velocity never fades: the old one is multiplied by the momentum.
def sgd_step(params, gradients, velocity, lr, momentum, weight_decay):
    new = [v + g + weight_decay * p for p, g, v in zip(params, gradients, velocity, strict=True)]
    return [p - lr * v for p, v in zip(params, new, strict=True)], new


# %% wrong: running average
# You weigh the gradient by 1 - momentum, a running average: here it enters whole.
def sgd_step(params, gradients, velocity, lr, momentum, weight_decay):
    new = [
        momentum * v + (1 - momentum) * (g + weight_decay * p)
        for p, g, v in zip(params, gradients, velocity, strict=True)
    ]
    return [p - lr * v for p, v in zip(params, new, strict=True)], new


# %% wrong: step with the old velocity
# You step with the velocity from before: update it first, then step with the new one.
def sgd_step(params, gradients, velocity, lr, momentum, weight_decay):
    new = [
        momentum * v + g + weight_decay * p
        for p, g, v in zip(params, gradients, velocity, strict=True)
    ]
    return [p - lr * v for p, v in zip(params, velocity, strict=True)], new


# %% wrong: step with the gradient alone
# The velocity is right but the step uses only the gradient: step with the velocity.
def sgd_step(params, gradients, velocity, lr, momentum, weight_decay):
    pulls = [g + weight_decay * p for p, g in zip(params, gradients, strict=True)]
    new = [momentum * v + pull for v, pull in zip(velocity, pulls, strict=True)]
    return [p - lr * pull for p, pull in zip(params, pulls, strict=True)], new


# %% wrong: learning rate in the velocity
# You put the learning rate into the velocity: here it multiplies the velocity in the step only.
def sgd_step(params, gradients, velocity, lr, momentum, weight_decay):
    new = [
        momentum * v + lr * (g + weight_decay * p)
        for p, g, v in zip(params, gradients, velocity, strict=True)
    ]
    return [p - v for p, v in zip(params, new, strict=True)], new


# %% wrong: uphill
# Your step goes uphill: the velocity is subtracted from the parameters.
def sgd_step(params, gradients, velocity, lr, momentum, weight_decay):
    new = [
        momentum * v + g + weight_decay * p
        for p, g, v in zip(params, gradients, velocity, strict=True)
    ]
    return [p + lr * v for p, v in zip(params, new, strict=True)], new


# %% wrong: Nesterov's step
# That is Nesterov's step, which looks ahead: the plain one subtracts lr times the new velocity.
def sgd_step(params, gradients, velocity, lr, momentum, weight_decay):
    pulls = [g + weight_decay * p for p, g in zip(params, gradients, strict=True)]
    new = [momentum * v + pull for v, pull in zip(velocity, pulls, strict=True)]
    return [
        p - lr * (pull + momentum * v) for p, pull, v in zip(params, pulls, new, strict=True)
    ], new


# %% wrong: velocity first
# You return the velocity first: parameters come first, then the velocity.
def sgd_step(params, gradients, velocity, lr, momentum, weight_decay):
    new = [
        momentum * v + g + weight_decay * p
        for p, g, v in zip(params, gradients, velocity, strict=True)
    ]
    return new, [p - lr * v for p, v in zip(params, new, strict=True)]


# %% wrong: no weight decay
# The weight decay has no effect: it adds its share of the parameter to the gradient.
def sgd_step(params, gradients, velocity, lr, momentum, weight_decay):
    new = [momentum * v + g for g, v in zip(gradients, velocity, strict=True)]
    return [p - lr * v for p, v in zip(params, new, strict=True)], new


# %% wrong: decay away from zero
# Your weight decay pushes the parameters away from zero: check its sign.
def sgd_step(params, gradients, velocity, lr, momentum, weight_decay):
    new = [
        momentum * v + g - weight_decay * p
        for p, g, v in zip(params, gradients, velocity, strict=True)
    ]
    return [p - lr * v for p, v in zip(params, new, strict=True)], new


# %% wrong: decay beside the velocity
# You shrink the parameters beside the velocity, as AdamW does: here the decay goes into it.
def sgd_step(params, gradients, velocity, lr, momentum, weight_decay):
    new = [momentum * v + g for g, v in zip(gradients, velocity, strict=True)]
    return [p - lr * (v + weight_decay * p) for p, v in zip(params, new, strict=True)], new


# %% wrong: decay of weights only
# Arrays with one row, the biases, get no decay from you: here every parameter does.
def sgd_step(params, gradients, velocity, lr, momentum, weight_decay):
    new = [
        momentum * v + g + (weight_decay * p if len(p) > 1 else 0)
        for p, g, v in zip(params, gradients, velocity, strict=True)
    ]
    return [p - lr * v for p, v in zip(params, new, strict=True)], new


# %% wrong: decay of the velocity
# The decay takes its share of the velocity: it takes it of the parameter.
def sgd_step(params, gradients, velocity, lr, momentum, weight_decay):
    new = [momentum * v + g + weight_decay * v for g, v in zip(gradients, velocity, strict=True)]
    return [p - lr * v for p, v in zip(params, new, strict=True)], new


# %% wrong: changes the caller's parameters
# Your code changes its input; work on a copy.
def sgd_step(params, gradients, velocity, lr, momentum, weight_decay):
    new = []
    for p, g, v in zip(params, gradients, velocity, strict=True):
        new.append(momentum * v + g + weight_decay * p)
        p -= lr * new[-1]
    return params, new

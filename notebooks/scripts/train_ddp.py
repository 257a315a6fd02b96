"""Train a small convolutional network in several processes that share their gradients.

    torchrun --standalone --nproc-per-node=2 notebooks/scripts/train_ddp.py --out weights.pt

Every process holds the whole model and a part of every batch; backward averages the
gradients, so all take the same step. On the CPU, or with one GPU for each process.
"""

import argparse
import os

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from course_utils import data
from course_utils.models import draw_weights


def make_model(seed: int) -> nn.Module:
    """Return a network without batch norm, whose loss is a mean over single images."""
    layers = [nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * 7 * 7, 10))
    return draw_weights(model, generator=torch.Generator().manual_seed(seed)).double()


def train(args: argparse.Namespace, rank: int, world_size: int, device: torch.device) -> None:
    """Take the steps; process 0 prints the loss and saves the weights."""
    model = make_model(args.seed).to(device)
    if world_size > 1:
        model = DistributedDataParallel(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    fashion = data.load_fashion_mnist()
    X = torch.from_numpy(fashion.X_train[: args.images]).double()[:, None]
    y = torch.from_numpy(fashion.y_train[: args.images])
    generator = torch.Generator().manual_seed(args.seed)  # the same order in every process
    for step in range(args.steps):
        batch = torch.randperm(len(X), generator=generator)[: args.batch_size]
        shard = batch[rank::world_size]  # equal parts, so the mean of means is the mean
        loss = F.cross_entropy(model(X[shard].to(device)), y[shard].to(device))
        optimizer.zero_grad()
        loss.backward()  # with more processes: averages the gradients of all
        optimizer.step()
        if rank == 0:
            print(f"step {step}: loss on the part of process 0: {loss.item():.4f}", flush=True)
    if rank == 0 and args.out:
        bare = model.module if world_size > 1 else model
        torch.save({name: part.cpu() for name, part in bare.state_dict().items()}, args.out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("steps", 5), ("batch-size", 64), ("images", 512), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--out", help="file for the weights")
    args = parser.parse_args()
    # torchrun sets these three; without it, this is the only process.
    defaults = {"RANK": 0, "WORLD_SIZE": 1, "LOCAL_RANK": 0}
    rank, world_size, local_rank = (int(os.environ.get(*item)) for item in defaults.items())
    if args.batch_size % world_size or not 0 < args.batch_size <= args.images:
        parser.error(f"--batch-size must be a multiple of {world_size} and at most --images")
    device = torch.device("cpu")
    if torch.cuda.device_count() >= int(os.environ.get("LOCAL_WORLD_SIZE", 1)):
        device = torch.device("cuda", local_rank)
        torch.cuda.set_device(device)
    if world_size == 1:
        train(args, rank, world_size, device)
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    train(args, rank, world_size, device)
    dist.barrier()  # none leaves while another may still wait for its part
    dist.destroy_process_group()


if __name__ == "__main__":
    main()

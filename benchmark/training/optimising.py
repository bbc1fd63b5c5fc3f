"""What a stage trains and how: training mode, and the optimiser of its recipe."""

import torch

from methods.base import Stage


def set_training_mode(stage: Stage) -> None:
    """What the stage trains is in training mode, all else in that of evaluation."""
    stage.eval()
    for module in stage.trainable():
        module.train()


def lay_out(stage: Stage, memory_format: torch.memory_format) -> None:
    """Store the weights of 2-D convolutions with channels last, or contiguous as they are saved.

    With channels last, convolutions in half precision are faster. The last bits of their results may differ.
    """
    for parameter in stage.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=memory_format)


def optimizer_of(stage: Stage) -> torch.optim.Optimizer:
    """The recipe's optimiser over the stage's groups of parameters, which require gradients from now on."""
    recipe = stage.recipe
    groups = [
        {
            "params": [p for module in group.modules for p in module.requires_grad_(True).parameters()],
            "lr": recipe.learning_rate * group.learning_rate_factor,
            "weight_decay": recipe.weight_decay if group.weight_decay is None else group.weight_decay,
            "learning_rate_factor": group.learning_rate_factor,
        }
        for group in stage.groups()
    ]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum)
    kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, lr=recipe.learning_rate)


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Give each group its factor times the recipe's ``learning_rate``."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group["learning_rate_factor"]

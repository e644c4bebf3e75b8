"""A plug-in of one file, which imports torch at its top: the rule `asfa`, the model `tower` and the rest."""

import torch
from torch import nn

from asapbench.rules.base import Declares, LayerPlan, Rule
from asapbench.rules.options import K
from asapbench.rules.sharing import shared_activations
from asapbench.suite.entries import ModelEntry, OptimizerEntry, RuleEntry, ScheduleEntry
from asapbench.suite.options import Option

__version__ = "0.3"


class SharedFA(Rule):
    entry = RuleEntry("asfa", "AS+FA", "a test", options=(K,), needs="convolutions")

    @property
    def declares(self):
        return Declares(update="shared", error_path="fixed", linear="fixed", stem="fixed")

    def plan(self, flow):
        shared = shared_activations(flow, self.choice.integer("k"))
        plans = {name: LayerPlan("fixed", node) for name, node in shared.items()}
        plans[flow.main[0].name] = LayerPlan("fixed", trained=False)
        return plans | {layer.name: LayerPlan("fixed", init="uniform") for layer in flow.linears}


def tower(choice, *, channels, size, classes):
    width = choice.integer("width")
    layers = [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
    for _ in range(3):
        layers += [nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))


def rmsprop(choice, parameters, *, lr):
    return torch.optim.RMSprop(parameters, lr=lr, alpha=choice.number("alpha"))


model = ModelEntry("tower", "Tower", "a test", options=(Option("width", 4, "channels", minimum=1),), build=tower)
optimizer = OptimizerEntry("rmsprop", "RMSprop", "a test", options=(Option("alpha", 0.9, "decay"),), build=rmsprop)
schedule = ScheduleEntry("halving", "halving", "a test", factor=lambda _choice, epoch: 0.5**epoch.done)

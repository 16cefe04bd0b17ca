"""Search coordinates: what is sampled, mapped to what a method's config says.

Nine in ten independent draws of ReWA's (lr, weight_decay, M) diverge or collapse. In the coordinates
(p, effective_step, decay_budget) most draws train, because each says what it does to the weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from rewa.config import Settings
from rewa.errors import UserError
from rewa.theory import M_for_p, lr_for_step, weight_decay_for_budget

DECIDES = {"p": "M", "effective_step": "lr", "decay_budget": "weight_decay"}
"""Setting that each coordinate decides, in the order in which they are mapped."""


class Coordinates(Settings):
    """Maps sampled coordinates to ReWA's M, lr and weight_decay.

    Attributes:
        weight_scale: Typical size s of an initial weight, at which ``effective_step`` is measured.
    """

    weight_scale: float = Field(gt=0)

    def to_config(self, values: Mapping[str, Any], schedule_sum: float) -> dict[str, Any]:
        """Return the config of sampled values.

        ``p`` becomes M, then ``effective_step`` becomes lr, then ``decay_budget`` becomes weight_decay;
        a coordinate that is absent leaves its target as given.

        Args:
            values: Sampled and fixed values; must hold K and momentum, and M unless p is there.
            schedule_sum: Sum of the learning-rate factors over the training's steps.

        Raises:
            UserError: If a decay budget is to be spent in a training whose learning rate is always 0.
        """
        config = {key: value for key, value in values.items() if key not in DECIDES}
        K, momentum = config["K"], config["momentum"]
        if "p" in values:
            config["M"] = M_for_p(K, values["p"])
        if "effective_step" in values:
            config["lr"] = lr_for_step(K, config["M"], values["effective_step"], momentum, self.weight_scale)
        if "decay_budget" in values:
            if schedule_sum <= 0:
                raise UserError("decay_budget: the workload's schedule is 0 at every step; train for longer")
            config["weight_decay"] = weight_decay_for_budget(
                K, values["decay_budget"], config["lr"], momentum, schedule_sum
            )
        return config

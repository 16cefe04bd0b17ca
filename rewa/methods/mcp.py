"""The minimax concave penalty."""

from __future__ import annotations

from pydantic import Field

from rewa.methods.path_solver import PathConfig, PathSolver
from rewa.solvers import Penalty


class MCPConfig(PathConfig):
    """Settings of MCP."""

    gamma: float = Field(default=3, gt=1, description="the penalty is flat from |w| = gamma * lambda on")


class MCP(PathSolver):
    """Minimise loss + MCP(w; lambda, gamma); Zhang 2010, Eq. 2.1, and Breheny and Huang's gamma (2011)."""

    name = "mcp"
    summary = "linear models only: minimax concave penalty by coordinate descent (skglm)"
    Config = MCPConfig

    def penalty(self) -> Penalty:
        """Return MCP with the configured gamma."""
        config: MCPConfig = self.config
        return Penalty("mcp", config.gamma)

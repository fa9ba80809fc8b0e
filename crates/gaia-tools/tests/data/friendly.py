"""A tool server made with MCP's own Python SDK, over standard streams or, where a port is given, over HTTP."""

import sys
from typing import Annotated

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.resolve import AcceptedElicitation, Elicit, ElicitationResult, Resolve
from pydantic import BaseModel

server = MCPServer("friendly")


class Age(BaseModel):
    age: int


def ask() -> Elicit[Age]:
    return Elicit("How old are you?", Age)


@server.tool()
async def work(steps: int, context: Context) -> str:
    """Works, and tells how far it is."""
    for step in range(1, steps + 1):
        await context.report_progress(step, steps, f"step {step}")
    return f"did {steps} steps"


@server.tool()
async def greet(answer: Annotated[ElicitationResult[Age], Resolve(ask)]) -> str:
    """Asks how old somebody is."""
    if isinstance(answer, AcceptedElicitation):
        return f"{answer.data.age} is a fine age"
    return f"they said {answer.action}"


@server.tool()
async def grow(context: Context) -> str:
    """Makes one more tool."""
    server.add_tool(lambda: "new", name="fresh", description="A new one.")
    await context.notify_tools_changed()
    return "grown"


if len(sys.argv) > 1:
    server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
else:
    server.run("stdio")

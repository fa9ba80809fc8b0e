"""Drives an MCP server with the protocol's own Python SDK and prints what it saw as one JSON document.

Usage: foreign_mcp.py MODE SERVER CALLS
MODE is `legacy` (2025-11-25) or `auto` (the newest that the server has). SERVER is a JSON string (an address) or list (a command). CALLS is a JSON
list of [tool, arguments].
"""

import asyncio
import json
import sys

from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters


async def main(mode, server, calls):
    if isinstance(server, list):
        server = StdioServerParameters(command=server[0], args=server[1:])
    async with Client(server, mode=mode) as client:
        listed = await client.list_tools()
        answers = []
        for tool, arguments in calls:
            # The SDK itself compares structured content with the tool's output schema.
            result = await client.call_tool(tool, arguments, read_timeout_seconds=30)
            text = " ".join(block.text for block in result.content)
            answers.append({"text": text, "content": result.structured_content, "is_error": bool(result.is_error)})
        print(json.dumps({
            "protocol": client.protocol_version,
            "server": client.server_info.name,
            "tools": [tool.name for tool in listed.tools],
            "answers": answers,
        }))


asyncio.run(main(sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])))

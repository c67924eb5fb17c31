"""A TCP way that takes its time: slow_way.py LISTEN_ADDRESS PORT TO_ADDRESS PORT MILLISECONDS, each direction."""

import asyncio
import sys

listen, port, to, to_port, delay = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5]) / 1000


async def carry(reader, writer):
    loop = asyncio.get_running_loop()
    try:
        while data := await reader.read(65536):
            loop.call_later(delay, writer.write, data)
        loop.call_later(delay, writer.close)
    except OSError:
        writer.close()


async def serve(reader, writer):
    there, back = await asyncio.open_connection(to, to_port)
    await asyncio.gather(carry(reader, back), carry(there, writer))


async def main():
    server = await asyncio.start_server(serve, listen, port)
    async with server:
        await server.serve_forever()


asyncio.run(main())

"""The peers that are used with asyncio: modules named like those of the folder above."""

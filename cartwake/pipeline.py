"""The whole flow, top to bottom. Open the file a stage names to see what it decides.

 shop ─▶ cart-events ─▶ carts ─▶ cart-outcomes ─▶ identity ─▶ subscriber-carts ─▶ reminders ─▶ messages
                              device-events ────────▲   order-events ─▶ orders ─▶ subscriber-events ▲

The sink (`sinks/`) puts every topic into ClickHouse, the collector (`ingest/`) writes what a shop sends.
"""

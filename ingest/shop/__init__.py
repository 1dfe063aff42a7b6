"""The demo shop that the collector serves under `/shop`."""

from ingest.shop.page import SHOP_ID, routes

__all__ = ["SHOP_ID", "routes"]

"""The discovery protocol's messages: our `.proto` files, and what `tools/protos` makes of them."""

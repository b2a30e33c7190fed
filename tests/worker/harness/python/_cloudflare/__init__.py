"""The part of workerd's package `_cloudflare` that workers-runtime-sdk calls, done anew."""

"""Sources of small Workers that more than one module of tests starts."""

HEAD = """
import asyncio
import os
import random
import socket
import js
from js import fetch as js_fetch, console
from pyodide.ffi import to_js, create_once_callable
from workers import Response, WorkerEntrypoint, fetch
import workers

opened = {}

async def connect(host, port):
    return await asyncio.open_connection(host, port)
"""

ECHO = (
    HEAD
    + """
class Default(WorkerEntrypoint):
    async def fetch(self, request):
        headers = [(k, v) for k, v in request.js_object.headers]
        body = await request.text() if request.js_object.body else ""
        lines = [str(request.js_object.method), request.url, body, *(f"{k}: {v}" for k, v in headers)]
        text = "\\n".join(lines)
        answer = js.Response.new(text)
        if request.js_object.method == "HEAD":
            answer = js.Response.new(None)
            answer.headers.set("content-length", "123")
        if "/status/" in request.url:
            answer = js.Response.new(None, status=int(request.url.rpartition("/")[2]))
        answer.headers.append("set-cookie", "a=1")
        answer.headers.append("set-cookie", "b=2")
        answer.headers.set("x-setting", getattr(self.env, "SETTING", ""))
        return answer
"""
)

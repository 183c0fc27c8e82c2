#!/usr/bin/python3
"""A process of a pool in plain Python that returns at once: each task is read
as JSON and answered. All that one read brings is taken apart at once, and
answered with one write."""

import json
import os
import socket
import sys


def resize(payload):
    return payload


def answers(lines):
    encode = json.JSONEncoder().encode
    messages = json.loads("[" + lines.replace("\n", ",") + "]")
    tasks = [message["run"] for message in messages if "run" in message]
    return "".join([
        f'{{"done":{{"id":"{task["id"]}",'
        f'"result":{encode(resize(task["payload"]))}}}}}\n'
        for task in tasks])


def main():
    worker = socket.socket(fileno=int(os.environ["MUSTER_FD"]))
    worker.sendall(json.dumps({"hello": {
        "protocol": 1, "concurrency": int(sys.argv[1])}}).encode() + b"\n")
    rest = b""
    while True:
        data = worker.recv(1 << 16)
        if not data:
            return
        lines, end, rest = (rest + data).rpartition(b"\n")
        if end:
            worker.sendall(answers(lines.decode()).encode())


main()

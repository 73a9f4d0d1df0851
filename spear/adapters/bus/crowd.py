"""A bound on the connections of one ZeroMQ socket, which has none of its own."""

import logging
from typing import Any

import gevent
import zmq.green as zmq
from zmq.error import ZMQError
from zmq.utils.monitor import parse_monitor_message

log = logging.getLogger(__name__)
_AGAIN_S = 0.05


class Crowd:
    """When more than `most` are connected, all are sent away: who reads comes again by himself and misses nothing."""

    def __init__(self, listener: Any, *, most: int) -> None:
        self._listener, self._most, self._there = listener, most, set[int]()
        self._endpoint = listener.getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\0").decode()
        self._events = listener.get_monitor_socket(zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED)

    def watch(self) -> None:
        """Count who comes and goes, for ever."""
        while True:
            told = parse_monitor_message(self._events.recv_multipart())
            if told["event"] == zmq.EVENT_DISCONNECTED:
                self._there.discard(told["value"])
            else:
                self._there.add(told["value"])
            if len(self._there) > self._most:
                self._send_away()

    def _send_away(self) -> None:
        log.warning("%s: more than %d connections, so all of them are closed", self._endpoint, self._most)
        self._listener.unbind(self._endpoint)  # which closes what it accepted
        while not self._listens():
            gevent.sleep(_AGAIN_S)  # until the old listener is gone
        while self._events.poll(0):  # of those who are gone
            self._events.recv_multipart()
        self._there.clear()

    def _listens(self) -> bool:
        try:
            self._listener.bind(self._endpoint)
        except ZMQError:
            return False
        return True

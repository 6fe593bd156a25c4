"""The table of calls says what our .proto file says."""

from __future__ import annotations

from kubespan.discovery import method
from kubespan.discovery.proto import server_pb2


def test_table_is_the_service_of_the_proto_file() -> None:
    service = server_pb2.DESCRIPTOR.services_by_name["Cluster"]
    assert service.full_name == method.SERVICE
    assert [
        (one.name, one.request.DESCRIPTOR, one.response.DESCRIPTOR, one.is_stream)
        for one in method.METHODS
    ] == [
        (one.name, one.input_type, one.output_type, one.server_streaming) for one in service.methods
    ]


def test_path_is_what_travels() -> None:
    assert method.WATCH.path == "/sidero.discovery.server.Cluster/Watch"

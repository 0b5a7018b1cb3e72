"""The tf.data service, on this machine: other processes' work, every example once."""

import tensorflow as tf

from tests.data.test_batches import TEXTS, batching
from zoo.data.batches import stream


def test_workers_share_the_files_and_every_example_comes_once(tmp_path):
    for i in range(4):
        with tf.io.TFRecordWriter(str(tmp_path / f"{i}.tfrecord")) as writer:
            for text in TEXTS[i::4]:
                writer.write(text.encode())
    service = tf.data.experimental.service
    dispatcher = service.DispatchServer()
    address = dispatcher.target.split("://")[1]
    config = service.WorkerConfig(dispatcher_address=address)
    workers = [service.WorkerServer(config) for _ in range(2)]
    files = tf.data.Dataset.list_files(str(tmp_path / "*.tfrecord"), shuffle=False)
    examples = files.interleave(tf.data.TFRecordDataset)
    batches = stream(examples.map(lambda text: ({"text": text}, text)), batching())
    shared = batches.apply(
        service.distribute(service.ShardingPolicy.DYNAMIC, dispatcher.target)
    )
    found = []
    for inputs, texts in shared:
        assert inputs["input_ids"].shape[0] == len(texts) <= 4
        lengths = inputs["attention_mask"].numpy().sum(1).tolist()
        assert lengths == [len(text) for text in texts.numpy()]
        found += texts.numpy().tolist()
    assert sorted(found) == sorted(text.encode() for text in TEXTS)
    del workers

'use strict';
// A program for sdk/python/tests/bench_messages.py to measure.

const muster = require('../muster');

muster.task('plain', () => {});
muster.task('async', async () => {});
muster.run({ prefetch: 199 });

// E2B's unmodified JavaScript SDK against our local server: everything a user of it would do first.
// Run by test_javascript_sdk.py, which sets E2B_API_URL, E2B_SANDBOX_URL and E2B_API_KEY. Prints one line for each check.
import assert from 'node:assert/strict'
import { Sandbox, TimeoutError } from '@e2b/code-interpreter'

const checks = []
const check = (name, work) => checks.push([name, work])
let sandbox

check('create', async () => {
  sandbox = await Sandbox.create({ timeoutMs: 120_000, metadata: { who: 'javascript' }, envs: { GREETING: 'hello' } })
  assert.ok(sandbox.sandboxId)
  assert.equal(await sandbox.isRunning(), true)
})
check('runCode gives a result, streams and keeps state', async () => {
  const seen = []
  await sandbox.runCode('x = 41')
  const run = await sandbox.runCode('import sys; print("out"); print("err", file=sys.stderr); x + 1', {
    onStdout: (m) => seen.push(['stdout', m.line]),
    onStderr: (m) => seen.push(['stderr', m.line]),
    onResult: (r) => seen.push(['result', r.text]),
  })
  assert.equal(run.text, '42')
  assert.deepEqual(run.logs.stdout.join(''), 'out\n')
  assert.deepEqual(run.logs.stderr.join(''), 'err\n')
  assert.deepEqual(seen.map(([kind]) => kind).sort(), ['result', 'stderr', 'stdout'])
})
check('runCode passes non-ASCII text whole', async () => {
  const run = await sandbox.runCode('print("ä€😀\\u2028" * 5000)')
  assert.equal(run.logs.stdout.join(''), 'ä€😀\u2028'.repeat(5000) + '\n')
})
check('runCode reports errors', async () => {
  const run = await sandbox.runCode('1/0')
  assert.equal(run.error.name, 'ZeroDivisionError')
})
check('envs of the sandbox and of one call', async () => {
  const run = await sandbox.runCode('import os; (os.environ["GREETING"], os.environ["MORE"])', { envs: { MORE: "it's" } })
  assert.equal(run.text, `('hello', "it's")`)
})
check('charts', async () => {
  const run = await sandbox.runCode(`
import matplotlib.pyplot as plt
plt.plot([1, 2, 3], [4, 5, 6], label="a"); plt.title("T"); plt.xlabel("X"); plt.show()`)
  const figure = run.results.find((r) => r.png)
  assert.ok(figure.png.length > 1000)
  assert.equal(figure.chart.type, 'line')
  assert.equal(figure.chart.title, 'T')
  assert.deepEqual(figure.chart.elements[0].points, [[1, 4], [2, 5], [3, 6]])
})
check('contexts', async () => {
  const context = await sandbox.createCodeContext({ cwd: '/tmp' })
  await sandbox.runCode('y = 1', { context })
  assert.equal((await sandbox.runCode('y', { context })).text, '1')
  assert.equal((await sandbox.runCode('y')).error.name, 'NameError')
  assert.ok((await sandbox.listCodeContexts()).some((c) => c.id === context.id))
  await sandbox.restartCodeContext(context)
  assert.equal((await sandbox.runCode('y', { context })).error.name, 'NameError')
  await sandbox.removeCodeContext(context)
})
check('files', async () => {
  await sandbox.files.write('/home/user/a/b.txt', 'text ä')
  assert.equal(await sandbox.files.read('a/b.txt'), 'text ä')
  await sandbox.files.write([{ path: 'm/1.txt', data: 'one' }, { path: 'm/2.txt', data: 'two' }])
  assert.deepEqual((await sandbox.files.list('m')).map((e) => e.name).sort(), ['1.txt', '2.txt'])
  assert.equal(await sandbox.files.exists('m/1.txt'), true)
  await sandbox.files.rename('m/1.txt', 'm/3.txt')
  await sandbox.files.remove('m')
  assert.equal(await sandbox.files.exists('m'), false)
  assert.equal(await sandbox.files.makeDir('d'), true)
  const bytes = await sandbox.files.read('a/b.txt', { format: 'bytes' })
  assert.equal(bytes.length, 7)
  await assert.rejects(sandbox.files.read('nowhere'))
})
check('commands', async () => {
  const done = await sandbox.commands.run('echo out; echo err >&2', {})
  assert.equal(done.stdout, 'out\n')
  assert.equal(done.stderr, 'err\n')
  await assert.rejects(sandbox.commands.run('exit 3'), (e) => e.exitCode === 3)
  const handle = await sandbox.commands.run('cat', { background: true, stdin: true })
  await sandbox.commands.sendStdin(handle.pid, 'hello\n')
  assert.ok((await sandbox.commands.list()).some((p) => p.pid === handle.pid))
  assert.equal(await sandbox.commands.kill(handle.pid), true)
})
check('a terminal has the size it was given', async () => {
  let shown = ''
  const decoder = new TextDecoder()
  const terminal = await sandbox.pty.create({ cols: 80, rows: 24, onData: (data) => (shown += decoder.decode(data)) })
  await sandbox.pty.resize(terminal.pid, { cols: 100, rows: 30 })
  await sandbox.pty.sendInput(terminal.pid, new TextEncoder().encode('stty size; exit\n'))
  await terminal.wait()
  assert.match(shown, /30 100/)
})
check('a watched directory tells its changes', async () => {
  let told
  const change = new Promise((resolve) => (told = resolve))
  const watcher = await sandbox.files.watchDir('a', (event) => told(event.name))
  await sandbox.files.write('a/new.txt', 'x')
  assert.equal(await change, 'new.txt')
  await watcher.stop()
})
check('signed URLs need no header', async () => {
  await sandbox.files.write('signed.txt', 'seen')
  const url = await sandbox.downloadUrl('signed.txt', { useSignatureExpiration: 60 })
  assert.equal(await (await fetch(url)).text(), 'seen')
})
check('a kill in the middle of a cell and of a command is told within a second', async () => {
  for (const work of [(s) => s.runCode('import time; time.sleep(60)'), (s) => s.commands.run('sleep 60')]) {
    const doomed = await Sandbox.create({ timeoutMs: 60_000 })
    const running = assert.rejects(work(doomed), TimeoutError)
    await new Promise((resolve) => setTimeout(resolve, 500))
    const start = Date.now()
    await doomed.kill()
    await running
    assert.ok(Date.now() - start < 1000)
  }
})
check('pause and resume keep memory and files', async () => {
  await sandbox.runCode('kept = "yes"')
  assert.equal(await sandbox.pause(), true)
  sandbox = await Sandbox.connect(sandbox.sandboxId)
  assert.equal((await sandbox.runCode('kept')).text, 'yes')
})
check('list by metadata', async () => {
  const page = Sandbox.list({ query: { metadata: { who: 'javascript' } } })
  assert.ok((await page.nextItems()).some((s) => s.sandboxId === sandbox.sandboxId))
})
check('kill', async () => {
  assert.equal(await sandbox.kill(), true)
  assert.equal(await sandbox.isRunning(), false)
  await assert.rejects(sandbox.runCode('1+1'))
})

let failed = 0
for (const [name, work] of checks) {
  try {
    await work()
    console.log(`ok ${name}`)
  } catch (error) {
    failed += 1
    console.log(`FAILED ${name}: ${error?.stack ?? error}`)
    if (name === 'create') break
  }
}
process.exit(failed ? 1 : 0)

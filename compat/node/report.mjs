// What the scripts share: one line for each check.
export async function run(checks) {
  for (const [name, check] of Object.entries(checks)) {
    try {
      await Promise.race([check(), new Promise((_, no) => setTimeout(() => no(new Error('60 seconds passed')), 60_000).unref())])
      console.log('ok', name)
    } catch (e) {
      console.error(e)
      console.log(`not ok ${name}: ${String(e.message).replaceAll('\n', ' ')}`)
    }
  }
  process.exit(0)
}

export function equal(want, got, what) {
  if (JSON.stringify(want) !== JSON.stringify(got)) throw new Error(`${what}: want ${JSON.stringify(want)}, got ${JSON.stringify(got)}`)
}

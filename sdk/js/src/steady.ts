/**
 * Makes an instance work behind the proxies that frameworks put around what they keep: private fields are those of the
 * instance itself, so its methods go by it, whatever they are called on. Vue's `reactive` leaves it alone altogether.
 */
export function steady<T extends object>(instance: T): T {
  const hidden = (name: PropertyKey, is: PropertyDescriptor): void =>
    void Object.defineProperty(instance, name, { configurable: true, enumerable: false, ...is });
  hidden('__v_skip', { value: true });
  for (let of: object | null = Object.getPrototypeOf(instance) as object; of && of !== Object.prototype; of = Object.getPrototypeOf(of) as object | null) {
    for (const [name, { value, get }] of Object.entries(Object.getOwnPropertyDescriptors(of))) {
      if (name === 'constructor' || Object.hasOwn(instance, name)) continue;
      if (typeof value === 'function') hidden(name, { value: (value as (...args: unknown[]) => unknown).bind(instance), writable: true });
      else if (get) hidden(name, { get: get.bind(instance) });
    }
  }
  return instance;
}

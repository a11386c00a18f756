//! A guest of one disk sector, for probes and tests that need a real machine in a moment.
//!
//! [`BootSector`] is a tiny assembler: each step adds hand-made 16-bit x86 code that talks to the
//! first serial port and to a few ports of QEMU's q35 machine. The program runs with interrupts
//! off. This is no operating system and proves nothing about one.

/// Where the BIOS puts the sector.
const LOAD_ADDRESS: u16 = 0x7c00;
/// Room for code and texts, in bytes: a sector without its two-byte signature.
const SECTOR_ROOM: usize = 510;
/// The size of the disk, in bytes: `SeaBIOS` does not boot a disk of a single sector.
const DISK_BYTES: usize = 1024 * 1024;

/// Prints the text at SI, up to its zero byte, on the first serial port, each byte when the
/// port is ready. Returns to the caller.
const PRINT_ROUTINE: [u8; 24] = [
    0xac, // next: lodsb
    0x84, 0xc0, // test al, al
    0x74, 0x12, // jz done
    0x88, 0xc4, // mov ah, al
    0xba, 0xfd, 0x03, // mov dx, 0x3fd (line status)
    0xec, // busy: in al, dx
    0xa8, 0x20, // test al, 0x20 (transmitter empty)
    0x74, 0xfb, // jz busy
    0x88, 0xe0, // mov al, ah
    0xba, 0xf8, 0x03, // mov dx, 0x3f8 (data)
    0xee, // out dx, al
    0xeb, 0xe9, // jmp next
    0xc3, // done: ret
];

/// A program for a machine that boots from its first disk sector.
#[derive(Debug, Clone)]
pub struct BootSector {
    code: Vec<u8>,
    /// Texts, and where in `code` their address belongs.
    texts: Vec<(usize, Vec<u8>)>,
}

impl Default for BootSector {
    fn default() -> Self {
        Self::new()
    }
}

impl BootSector {
    /// An empty program: it halts.
    pub fn new() -> Self {
        let mut code = vec![
            0xfa, // cli
            0x31, 0xc0, // xor ax, ax
            0x8e, 0xd8, // mov ds, ax
            0x8e, 0xd0, // mov ss, ax
            0xbc, 0x00, 0x7c, // mov sp, 0x7c00
            0xeb, 0x18, // jmp over the routine
        ];
        code.extend(PRINT_ROUTINE);
        Self {
            code,
            texts: Vec::new(),
        }
    }

    /// Prints `text` on the serial console.
    #[must_use]
    pub fn print(mut self, text: &str) -> Self {
        let routine = LOAD_ADDRESS + 12;
        self.code.push(0xbe); // mov si, text
        self.texts.push((self.code.len(), text.into()));
        self.code.extend([0, 0]);
        self.code.push(0xbb); // mov bx, routine
        self.code.extend(routine.to_le_bytes());
        self.step(&[0xff, 0xd3]) // call bx
    }

    /// Sends every byte typed on the serial console back, up to and including a `q`.
    #[must_use]
    pub fn echo_until_q(self) -> Self {
        self.step(&[
            0xba, 0xfd, 0x03, // next: mov dx, 0x3fd (line status)
            0xec, // idle: in al, dx
            0xa8, 0x01, // test al, 1 (data ready)
            0x74, 0xfb, // jz idle
            0xba, 0xf8, 0x03, // mov dx, 0x3f8 (data)
            0xec, // in al, dx
            0xee, // out dx, al
            0x3c, 0x71, // cmp al, 'q'
            0x75, 0xef, // jne next
        ])
    }

    /// Enables the ACPI power button: the machine forgets a press that comes before.
    #[must_use]
    pub fn enable_power_button(self) -> Self {
        self.step(&[
            0xb8, 0x00, 0x01, // mov ax, 0x100 (power button)
            0xba, 0x02, 0x06, // mov dx, 0x602 (PM1 enable)
            0xef, // out dx, ax
        ])
    }

    /// Waits until the enabled ACPI power button is pressed, or has been.
    #[must_use]
    pub fn wait_for_power_button(self) -> Self {
        self.step(&[
            0xba, 0x00, 0x06, // mov dx, 0x600 (PM1 status)
            0xed, // idle: in ax, dx
            0xf6, 0xc4, 0x01, // test ah, 1
            0x74, 0xfa, // jz idle
        ])
    }

    /// Turns the machine off by ACPI.
    #[must_use]
    pub fn power_off(self) -> Self {
        self.step(&[
            0xb8, 0x00, 0x20, // mov ax, 0x2000 (sleep enable, S5)
            0xba, 0x04, 0x06, // mov dx, 0x604 (PM1 control)
            0xef, // out dx, ax
        ])
    }

    /// Resets the machine by its keyboard controller.
    #[must_use]
    pub fn reset(self) -> Self {
        self.step(&[0xb0, 0xfe, 0xe6, 0x64]) // mov al, 0xfe; out 0x64, al
    }

    /// Writes the program's own sector to the one behind it.
    #[must_use]
    pub fn copy_to_second_sector(self) -> Self {
        self.step(&[
            0x31, 0xc0, // xor ax, ax
            0x8e, 0xc0, // mov es, ax
            0xb8, 0x01, 0x03, // mov ax, 0x301 (write one sector)
            0xbb, 0x00, 0x7c, // mov bx, LOAD_ADDRESS
            0xb9, 0x02, 0x00, // mov cx, 2 (the second)
            0xba, 0x80, 0x00, // mov dx, 0x80 (first disk)
            0xcd, 0x13, // int 0x13
        ])
    }

    /// Ends QEMU with the exit code `2 * code + 1`, if the machine has the `isa-debug-exit`
    /// device at port 0xf4.
    #[must_use]
    pub fn debug_exit(self, code: u8) -> Self {
        self.step(&[0xb0, code, 0xe6, 0xf4]) // mov al, code; out 0xf4, al
    }

    /// The disk with this program.
    ///
    /// # Panics
    ///
    /// If code and texts do not fit into a sector.
    pub fn disk_image(&self) -> Vec<u8> {
        let mut image = self.code.clone();
        image.extend([0xf4, 0xeb, 0xfd]); // halt for ever
        for (place, text) in &self.texts {
            let offset = u16::try_from(image.len()).expect("the program is too long");
            let address = LOAD_ADDRESS + offset;
            image[*place..place + 2].copy_from_slice(&address.to_le_bytes());
            image.extend(text);
            image.push(0);
        }
        assert!(image.len() <= SECTOR_ROOM, "the program is too long");
        image.resize(SECTOR_ROOM, 0);
        image.extend([0x55, 0xaa]);
        image.resize(DISK_BYTES, 0);
        image
    }

    fn step(mut self, code: &[u8]) -> Self {
        self.code.extend(code);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_of_the_sector() {
        let image = BootSector::new().print("HELLO").disk_image();
        assert_eq!(image.len(), DISK_BYTES);
        assert_eq!(&image[510..512], &[0x55, 0xaa]);
        // The jump lands behind the routine, on `mov si, text`, and the address points there.
        assert_eq!(image[12 + 24], 0xbe);
        let address = u16::from_le_bytes([image[37], image[38]]);
        let offset = usize::from(address - LOAD_ADDRESS);
        assert_eq!(&image[offset..][..6], b"HELLO\0");
    }

    #[test]
    #[should_panic(expected = "too long")]
    fn too_much_text_is_refused() {
        let _ = BootSector::new().print(&"x".repeat(600)).disk_image();
    }
}

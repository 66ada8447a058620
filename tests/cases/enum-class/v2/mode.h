enum class Mode : unsigned char { on = 3, off, automatic };
